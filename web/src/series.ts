/** A course's events per minute over the last half hour: history, then what was seen live. Pure. */

import type { HistoryPoint } from "./api.ts";
import type { Point } from "./frames.ts";

export const SPAN_MS = 30 * 60_000;
const STEP_MS = 60_000; // history keeps the windows that end on a whole minute
const GAP_MS = 1.5 * STEP_MS; // a minute is missing: the line breaks rather than claim something

/** x: epoch seconds of the windows' ends; y: events, null where the line breaks. */
export type Line = readonly [x: number[], y: (number | null)[]];

export class Series {
  private readonly minutes = new Map<number, number>(); // end of the window, ms → events
  private newest: { endMs: number; value: number } | null = null;

  /** History is corrected when events come late, so what it says replaces what was seen live. */
  takeHistory(points: readonly HistoryPoint[]): void {
    for (const point of points) this.minutes.set(point.endMs, point.value);
  }

  /** The newest window slides by ten seconds; one that ends on a whole minute stays, others are only the line's end. */
  takeLive(point: Point): void {
    const endMs = point.startMs + point.windowS * 1000;
    if (this.newest !== null && endMs < this.newest.endMs) return;
    this.newest = { endMs, value: point.value };
    if (endMs % STEP_MS === 0) this.minutes.set(endMs, point.value);
  }

  /** Whether what is seen live does not join on to a minute known before: history had not written it yet. */
  get tornOff(): boolean {
    const { newest } = this;
    return (
      newest !== null &&
      ![...this.minutes.keys()].some((endMs) => endMs <= newest.endMs && newest.endMs - endMs <= GAP_MS)
    );
  }

  /** The last half hour before `nowMs`. Forgets what is older. */
  line(nowMs: number): Line {
    for (const endMs of this.minutes.keys()) if (endMs < nowMs - SPAN_MS - STEP_MS) this.minutes.delete(endMs);
    const points = new Map(this.minutes);
    if (this.newest !== null && this.newest.endMs >= nowMs - SPAN_MS) points.set(this.newest.endMs, this.newest.value);
    const x: number[] = [];
    const y: (number | null)[] = [];
    let before: number | null = null;
    for (const [endMs, value] of [...points].sort(([a], [b]) => a - b)) {
      if (before !== null && endMs - before > GAP_MS) {
        x.push((before + endMs) / 2000);
        y.push(null);
      }
      x.push(endMs / 1000);
      y.push(value);
      before = endMs;
    }
    return [x, y];
  }
}
