import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame } from "../src/frames.ts";
import { LatencyMeter } from "../src/latency.ts";

/** An update of a scope that counts so many events, the newest of then. */
function update(asOfMs: number, value = 3, type: "update" | "snapshot" = "update"): Frame {
  const point = { metric: "events_per_minute", label: "", value, n: value, windowS: 60, startMs: 0, asOfMs } as const;
  const values = [{ ...point, state: "provisional" } as const];
  const place = { scope: "course:py101", epoch: "e", offset: 1 };
  return type === "update" ? { type, ...place, skipped: 0, values } : { type, ...place, values };
}

test("half took no longer, and 95 of 100, from the newest event of an update to its painting", () => {
  const meter = new LatencyMeter();
  assert.equal(meter.latency, null);
  for (let took = 1; took <= 100; took += 1) {
    meter.take(update(1_000_000 + took * 1_000), 0);
    meter.painted(1_000_000 + took * 1_000 + took);
  }
  assert.deepEqual(meter.latency, { halfMs: 50, mostMs: 95, updates: 100 });
});

test("an update that brings no newer event tells nothing: of another scope, of a quiet room, or a snapshot", () => {
  const meter = new LatencyMeter();
  meter.take(update(5_000, 3, "snapshot"), 0);
  meter.take(update(5_000), 0);
  meter.take(update(9_000, 0), 0);
  meter.painted(20_000);
  assert.equal(meter.latency, null);
});

test("a replay of old times is not slow, and a clock that is ahead is not fast", () => {
  const meter = new LatencyMeter();
  meter.take(update(1_000), 30 * 86_400_000);
  meter.painted(30 * 86_400_000);
  assert.equal(meter.latency, null);
  meter.take(update(9_000), 0);
  meter.painted(8_000);
  assert.deepEqual(meter.latency, { halfMs: 0, mostMs: 0, updates: 1 });
});

test("the gateway is told what was measured since the last time: to the frame and to the screen, the newest 64", () => {
  const meter = new LatencyMeter();
  assert.equal(meter.report(), null);
  for (let took = 1; took <= 70; took += 1) {
    meter.take(update(took * 1_000), took * 1_000 + took + 0.4);
    meter.painted(took * 1_000 + 2 * took);
  }
  const told = meter.report();
  assert.deepEqual([told?.frameMs.length, told?.frameMs[0], told?.frameMs.at(-1)], [64, 7, 70]);
  assert.deepEqual([told?.paintMs.length, told?.paintMs[0], told?.paintMs.at(-1)], [64, 14, 140]);
  assert.equal(meter.report(), null);
});

test("what came while nobody looked is not painted late", () => {
  const meter = new LatencyMeter();
  meter.take(update(1_000), 1_050);
  meter.unseen();
  meter.painted(90_000);
  assert.equal(meter.latency, null);
  assert.deepEqual(meter.report(), { frameMs: [50], paintMs: [] });
});
