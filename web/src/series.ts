/** One metric of a course over the last half hour: history, then what was seen live. Pure. */

import type { HistoryPoint } from "./api.ts";
import type { Point } from "./frames.ts";

export const SPAN_MS = 30 * 60_000;
const STEP_MS = 60_000; // history keeps the windows that end on a whole minute
const GAP_MS = 1.5 * STEP_MS; // a minute is missing: the line breaks rather than claim something

/** x: epoch seconds of the windows' ends; y: values, null where the line breaks; whether that is a correction. */
export type Line = readonly [x: number[], y: (number | null)[], corrected: boolean[]];

interface Minute {
  readonly value: number;
  readonly corrected: boolean;
}

export class Series {
  private readonly minutes = new Map<number, Minute>(); // by the end of the window, ms
  private newest: (Minute & { readonly endMs: number }) | null = null;

  private readonly needsEvents: boolean;

  /** `needsEvents`: with n = 0 a value says nothing, as a rate does; the line then breaks. */
  constructor(needsEvents = false) {
    this.needsEvents = needsEvents;
  }

  /** History is corrected when events come late, so what it says replaces what was seen live. */
  takeHistory(points: readonly HistoryPoint[]): void {
    for (const { endMs, value, n, state } of points) {
      if (this.said(n)) this.minutes.set(endMs, { value, corrected: state === "corrected" });
    }
  }

  /** The newest window slides by ten seconds; one that ends on a whole minute stays, others are only the line's end. */
  takeLive(point: Point): void {
    const endMs = point.startMs + point.windowS * 1000;
    if ((this.newest !== null && endMs < this.newest.endMs) || !this.said(point.n)) return;
    this.newest = { endMs, value: point.value, corrected: point.state === "corrected" };
    if (endMs % STEP_MS === 0) this.minutes.set(endMs, this.newest);
  }

  private said(n: number): boolean {
    return n > 0 || !this.needsEvents;
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
    if (this.newest !== null && this.newest.endMs >= nowMs - SPAN_MS) points.set(this.newest.endMs, this.newest);
    const x: number[] = [];
    const y: (number | null)[] = [];
    const corrections: boolean[] = [];
    let before: number | null = null;
    for (const [endMs, { value, corrected }] of [...points].sort(([a], [b]) => a - b)) {
      if (before !== null && endMs - before > GAP_MS) {
        x.push((before + endMs) / 2000);
        y.push(null);
        corrections.push(false);
      }
      x.push(endMs / 1000);
      y.push(value);
      corrections.push(corrected);
      before = endMs;
    }
    return [x, y, corrections];
  }
}
