import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, isNewer, ShapeError, type Point } from "../src/frames.ts";

const POINT = { metric: "events_per_minute", window_s: 60, start_ms: 1_000, value: 3, n: 3, as_of_ms: 30_000 };

test("a point's label is left out on the wire where it is empty", () => {
  const frame = decode(JSON.stringify({ type: "snapshot", scope: "course:a", epoch: "e", offset: 4, values: [POINT] }));
  assert.deepEqual(frame, {
    type: "snapshot",
    scope: "course:a",
    epoch: "e",
    offset: 4,
    values: [
      {
        metric: "events_per_minute",
        label: "",
        windowS: 60,
        startMs: 1_000,
        value: 3,
        n: 3,
        asOfMs: 30_000,
        state: "provisional",
      },
    ],
  });
});

test("a point says its state, where it is not the usual one", () => {
  const values = ["final", "corrected"].map((state) => ({ ...POINT, state, watermark_ms: 90_000 }));
  const frame = decode(JSON.stringify({ type: "update", scope: "school:all", epoch: "e", offset: 5, values }));
  assert.deepEqual(frame.type === "update" && frame.values.map((point) => point.state), ["final", "corrected"]);
});

test("an update that skipped nothing need not say so", () => {
  const frame = decode(JSON.stringify({ type: "update", scope: "course:a", epoch: "e", offset: 5, values: [] }));
  assert.equal(frame.type === "update" && frame.skipped, 0);
});

test("fields nobody knows yet are ignored", () => {
  const frame = decode(JSON.stringify({ type: "stale", scope: "course:a", since_ms: 7, why: "redis" }));
  assert.deepEqual(frame, { type: "stale", scope: "course:a", sinceMs: 7 });
});

for (const [what, data] of [
  ["no JSON", "{"],
  ["a list", "[]"],
  ["an unknown type", '{"type":"party"}'],
  [
    "a state nobody knows",
    `{"type":"snapshot","scope":"a","epoch":"e","offset":1,"values":[${JSON.stringify({ ...POINT, state: "perhaps" })}]}`,
  ],
  ["no scope", '{"type":"stale","since_ms":1}'],
  ["values that are no list", '{"type":"snapshot","scope":"a","epoch":"e","offset":1,"values":{}}'],
  [
    "a value that is no number",
    `{"type":"snapshot","scope":"a","epoch":"e","offset":1,"values":[${JSON.stringify({ ...POINT, value: "3" })}]}`,
  ],
] as const) {
  test(`refused: ${what}`, () => {
    assert.throws(
      () => decode(data),
      (error) => error instanceof ShapeError || error instanceof SyntaxError,
    );
  });
}

test("newer is the later window, then the later view of the same window", () => {
  const point = (startMs: number, asOfMs: number): Point => ({
    metric: "m",
    label: "",
    value: 0,
    n: 0,
    windowS: 60,
    startMs,
    asOfMs,
    state: "provisional",
  });
  assert.ok(isNewer(point(10, 5), undefined));
  assert.ok(isNewer(point(10, 5), point(0, 99)));
  assert.ok(!isNewer(point(0, 99), point(10, 5)));
  assert.ok(isNewer(point(10, 6), point(10, 5)));
  assert.ok(!isNewer(point(10, 5), point(10, 6)));
});
