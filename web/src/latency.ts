/** How long it takes from an event to this screen, over the last updates. Pure. */

import type { Frame } from "./frames.ts";
import { isLongAgo } from "./freshness.ts";

const KEPT = 500; // updates
const REPORTED_MAX = 64; // of a kind at once; the gateway takes no more
const DELAY_MAX_MS = 86_400_000; // nor longer ones

export interface Latency {
  readonly halfMs: number; // half of the updates took no longer
  readonly mostMs: number; // 95 of 100 took no longer
  readonly updates: number;
}

/** What the gateway is told: the delays since the last time, ms. */
export interface Measured {
  readonly frameMs: readonly number[];
  readonly paintMs: readonly number[];
}

export class LatencyMeter {
  private pending: number[] = []; // event times of the newest event of each update not drawn yet
  private frameMs: number[] = [];
  private paintMs: number[] = [];
  private readonly taken: number[] = [];
  private newestMs = 0;

  /** Only an update that brings a newer event than any before tells how long an event took. `nowMs` as in `painted`. */
  take(frame: Frame, nowMs: number): void {
    if (frame.type === "snapshot") {
      for (const point of frame.values) this.newestMs = Math.max(this.newestMs, point.asOfMs); // old by nature
      return;
    }
    if (frame.type !== "update") return;
    let happenedMs = 0;
    let counted = 0;
    for (const point of frame.values) {
      if (point.metric === "events_per_minute") [happenedMs, counted] = [point.asOfMs, point.value];
    }
    // In a quiet room told time goes on as the clock does: there is no event to have been fast or slow.
    if (counted === 0 || happenedMs <= this.newestMs) return;
    this.newestMs = happenedMs;
    if (isLongAgo(nowMs - happenedMs)) return; // a replay of old times is not slow
    keep(this.frameMs, Math.max(0, nowMs - happenedMs), REPORTED_MAX);
    keep(this.pending, happenedMs, KEPT);
  }

  /** What was taken is on the screen now. `nowMs` is by the gateway's clock. */
  painted(nowMs: number): void {
    for (const happenedMs of this.pending.splice(0)) {
      const tookMs = Math.max(0, nowMs - happenedMs);
      keep(this.taken, tookMs, KEPT);
      keep(this.paintMs, tookMs, REPORTED_MAX);
    }
  }

  /** Nobody looks: what is drawn when somebody does again was not slow. */
  unseen(): void {
    this.pending = [];
  }

  /** What was measured since it was asked last; null where nothing was. */
  report(): Measured | null {
    const { frameMs, paintMs } = this;
    if (frameMs.length === 0 && paintMs.length === 0) return null;
    [this.frameMs, this.paintMs] = [[], []];
    return { frameMs: frameMs.map(whole), paintMs: paintMs.map(whole) };
  }

  /** Null while nothing has been measured. */
  get latency(): Latency | null {
    const sorted = [...this.taken].sort((a, b) => a - b);
    const rank = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
    return sorted.length === 0 ? null : { halfMs: rank(0.5), mostMs: rank(0.95), updates: sorted.length };
  }
}

function whole(ms: number): number {
  return Math.min(Math.round(ms), DELAY_MAX_MS);
}

/** The newest `most`. */
function keep(list: number[], value: number, most: number): void {
  list.push(value);
  if (list.length > most) list.shift();
}
