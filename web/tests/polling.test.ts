import assert from "node:assert/strict";
import { test } from "node:test";
import { ShapeError } from "../src/frames.ts";
import { FIRST, next, POLL_MS, RefusedError, retryAfterMs, SilenceError } from "../src/polling.ts";

const silence = new SilenceError("no network");

test("an overview: the usual pause, a fifth shorter or longer", () => {
  const before = { silences: 1, refusedSinceMs: 5 };
  assert.deepEqual(next(before, null, 9, 0.5), { polling: FIRST, waitMs: POLL_MS, leastMs: 0, abandon: false });
  assert.equal(next(FIRST, null, 9, 0).waitMs, 0.8 * POLL_MS);
  assert.equal(next(FIRST, null, 9, 1).waitMs, 1.2 * POLL_MS);
});

test("the live connection is given up after two silences in a row, not before", () => {
  const first = next(FIRST, silence, 0, 0);
  assert.equal(first.abandon, false);
  assert.equal(next(first.polling, silence, 0, 0).abandon, true);
});

for (const [what, error] of [
  ["a 503", new RefusedError("503", 2_000)],
  ["a 500", new RefusedError("500")],
  ["an answer of the wrong shape", new ShapeError("overview is no object")],
] as const) {
  test(`${what} is an answer: it never gives the live connection up, and ends a run of silences`, () => {
    let { polling } = next(FIRST, silence, 0, 0);
    for (let round = 1; round <= 10; round += 1) {
      const step = next(polling, error, round, 0);
      assert.equal(step.abandon, false);
      polling = step.polling;
    }
    assert.deepEqual(polling, { silences: 0, refusedSinceMs: 1 });
    assert.equal(next(polling, silence, 11, 0).abandon, false);
    assert.deepEqual(next(polling, null, 12, 0).polling, FIRST);
  });
}

test("the next poll is no sooner than the gateway wants, and viewers spread", () => {
  const error = new RefusedError("429", 30_000);
  assert.deepEqual([next(FIRST, error, 0, 0).waitMs, next(FIRST, error, 0, 0).leastMs], [30_000, 30_000]);
  assert.ok(next(FIRST, error, 0, 0.9).waitMs > 30_000);
  assert.equal(next(FIRST, new RefusedError("500"), 0, 0.5).waitMs, POLL_MS);
});

test("Retry-After is read of 429 and 503, in seconds, within bounds", () => {
  assert.equal(retryAfterMs(503, "2"), 2_000);
  assert.equal(retryAfterMs(429, " 17 "), 17_000);
  assert.equal(retryAfterMs(429, "0"), 1_000);
  assert.equal(retryAfterMs(503, "999999"), 60_000);
  for (const header of [null, "", "soon", "-3", "1.5", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT"]) {
    assert.equal(retryAfterMs(503, header), null, String(header));
  }
  assert.equal(retryAfterMs(500, "2"), null);
});
