import assert from "node:assert/strict";
import { test } from "node:test";
import type { HistoryPoint } from "../src/api.ts";
import { dayStartMs, drawnFromMs, lineOf, sessions } from "../src/day.ts";

const MINUTE = 60_000;
const MIDNIGHT = Date.parse("2026-01-15T00:00:00Z");

/** So many events in the minute that ends so many minutes after midnight UTC. */
function minute(end: number, value: number, state: HistoryPoint["state"] = "final"): HistoryPoint {
  return { endMs: MIDNIGHT + end * MINUTE, value, n: value, state };
}

function told(points: readonly HistoryPoint[]): unknown[] {
  return sessions(points).map(({ fromMs, toMs, events }) => [
    (fromMs - MIDNIGHT) / MINUTE,
    (toMs - MIDNIGHT) / MINUTE,
    events,
  ]);
}

test("a pause of half an hour goes on with the session, a longer one ends it", () => {
  assert.deepEqual(told([minute(10, 2), minute(11, 0), minute(41, 3), minute(73, 1)]), [
    [9, 41, 5],
    [72, 73, 1],
  ]);
  assert.deepEqual(told([minute(5, 0)]), []);
});

test("minutes that history left out were quiet", () => {
  const nowMs = MIDNIGHT + 30 * MINUTE;
  const [x, y, corrected] = lineOf([minute(10, 2), minute(12, 1), minute(20, 4, "corrected")], nowMs);
  assert.deepEqual(
    x.map((second, index) => [(second * 1000 - MIDNIGHT) / MINUTE, y[index]]),
    [
      [10, 2],
      [11, 0],
      [12, 1],
      [13, 0],
      [19, 0],
      [20, 4],
      [21, 0],
      [30, 0],
    ],
  );
  assert.deepEqual(
    corrected.flatMap((each, index) => (each ? [index] : [])),
    [5],
  );
  assert.deepEqual(lineOf([], nowMs), [[], [], []]);
  assert.deepEqual(lineOf([minute(29, 1)], nowMs)[1], [1], "the last minute may not have been written yet");
});

test("drawn is from a little before the first event, half an hour at least, of this day", () => {
  const at = (end: number): number => MIDNIGHT + end * MINUTE;
  assert.equal(drawnFromMs([minute(60, 0), minute(100, 1)], at(200)), at(95));
  assert.equal(drawnFromMs([minute(195, 1)], at(200)), at(170));
  assert.equal(drawnFromMs([], at(200)), at(170));
  assert.equal(drawnFromMs([minute(2, 1)], at(10)), at(0));
  assert.equal(dayStartMs(at(10)), MIDNIGHT);
  assert.equal(dayStartMs(at(-1)), MIDNIGHT - 1440 * MINUTE);
});
