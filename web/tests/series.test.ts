import assert from "node:assert/strict";
import { test } from "node:test";
import type { HistoryPoint } from "../src/api.ts";
import { Series, SPAN_MS } from "../src/series.ts";

const NOON = Date.parse("2026-01-15T12:00:00Z");
const MINUTE = 60_000;

function live(series: Series, endMs: number, value: number): void {
  series.takeLive({
    metric: "events_per_minute",
    label: "",
    value,
    n: value,
    windowS: 60,
    startMs: endMs - MINUTE,
    asOfMs: endMs,
    state: "provisional",
  });
}

/** A minute of the history, so many from noon. */
function past(minute: number, value: number, state: HistoryPoint["state"] = "final"): HistoryPoint {
  return { endMs: NOON + minute * MINUTE, value, n: value, state };
}

/** Minutes from noon, with their values. */
function drawn(series: Series, nowMs: number): unknown[] {
  const [x, y] = series.line(nowMs);
  return x.map((second, index) => [(second * 1000 - NOON) / MINUTE, y[index]]);
}

test("history, the whole minutes seen live, and the window that is still sliding", () => {
  const series = new Series();
  series.takeHistory([-2, -1].map((minute) => past(minute, 10)));
  live(series, NOON - 10_000, 7);
  live(series, NOON, 8);
  live(series, NOON + 10_000, 2);
  live(series, NOON + 20_000, 3);
  assert.deepEqual(drawn(series, NOON + 25_000), [
    [-2, 10],
    [-1, 10],
    [0, 8],
    [1 / 3, 3],
  ]);
});

test("a window that comes after a newer one is not the line's end", () => {
  const series = new Series();
  live(series, NOON + 20_000, 3);
  live(series, NOON + 10_000, 9);
  assert.deepEqual(drawn(series, NOON + 25_000), [[1 / 3, 3]]);
});

test("history corrects what was seen live", () => {
  const series = new Series();
  live(series, NOON, 8);
  series.takeHistory([past(0, 9)]);
  live(series, NOON + 10_000, 1);
  assert.deepEqual(drawn(series, NOON + 15_000)[0], [0, 9]);
});

test("a minute that was corrected says so, and one that is told anew no more", () => {
  const series = new Series();
  const corrected = (): unknown => series.line(NOON + 15_000)[2];
  series.takeHistory([past(-4, 1), past(-1, 3, "corrected"), past(0, 2)]);
  live(series, NOON + 10_000, 1);
  assert.deepEqual(corrected(), [false, false, true, false, false], "the second is where the line breaks");
  series.takeHistory([past(-1, 3)]);
  assert.deepEqual(corrected(), [false, false, false, false, false]);
});

test("the line breaks where minutes are missing", () => {
  const series = new Series();
  series.takeHistory([0, 1, 4].map((minute) => past(minute, minute)));
  assert.deepEqual(drawn(series, NOON + 5 * MINUTE), [
    [0, 0],
    [1, 1],
    [2.5, null],
    [4, 4],
  ]);
});

test("what is older than half an hour leaves", () => {
  const series = new Series();
  series.takeHistory([0, 10].map((minute) => past(minute, 1)));
  live(series, NOON + 10 * MINUTE, 1);
  assert.deepEqual(drawn(series, NOON + SPAN_MS + 5 * MINUTE), [[10, 1]]);
  assert.deepEqual(drawn(series, NOON + SPAN_MS + 20 * MINUTE), []);
});

test("what is seen live is torn off while history has not come so far", () => {
  const series = new Series();
  assert.ok(!series.tornOff);
  live(series, NOON + 10_000, 1);
  assert.ok(series.tornOff);
  series.takeHistory([past(-2, 1)]);
  assert.ok(series.tornOff);
  series.takeHistory([past(0, 1)]);
  assert.ok(!series.tornOff);
});

test("a rate of nothing is not drawn: the line breaks", () => {
  const rates = new Series(true);
  rates.takeHistory([-4, -3, -2, -1].map((minute) => past(minute, minute === -3 || minute === -2 ? 0 : 1)));
  live(rates, NOON, 0);
  assert.deepEqual(drawn(rates, NOON), [
    [-4, 1],
    [-2.5, null],
    [-1, 1],
  ]);
});
