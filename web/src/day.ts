/** One student's day, from the minutes that history has of it. Pure. */

import type { HistoryPoint } from "./api.ts";
import type { Line } from "./series.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const GAP_MS = 30 * MINUTE_MS; // docs/semantics.md: a longer pause ends a session
const LEAST_MS = 30 * MINUTE_MS; // of time drawn

export interface Session {
  readonly fromMs: number;
  readonly toMs: number;
  readonly events: number;
}

/** When the calendar day of `ms` began, as the pipelines count days: UTC. */
export function dayStartMs(ms: number): number {
  return Math.floor(ms / DAY_MS) * DAY_MS;
}

/** Runs of minutes with events; `points` by time. */
export function sessions(points: readonly HistoryPoint[]): Session[] {
  const found: Session[] = [];
  for (const { endMs, value } of points) {
    if (value === 0) continue;
    const fromMs = endMs - MINUTE_MS;
    const last = found.at(-1);
    if (last !== undefined && fromMs - last.toMs <= GAP_MS) {
      found[found.length - 1] = { fromMs: last.fromMs, toMs: endMs, events: last.events + value };
    } else {
      found.push({ fromMs, toMs: endMs, events: value });
    }
  }
  return found;
}

/** From when on there is something to draw: a little before the first event, at least half an hour. */
export function drawnFromMs(points: readonly HistoryPoint[], nowMs: number): number {
  const first = points.find(({ value }) => value > 0);
  const fromMs = Math.min(first === undefined ? nowMs : first.endMs - 5 * MINUTE_MS, nowMs - LEAST_MS);
  return Math.max(dayStartMs(nowMs), fromMs);
}

/** The minutes that history has left out were quiet: the line goes down to 0 and does not break. */
export function lineOf(points: readonly HistoryPoint[], nowMs: number): Line {
  const line: Line = [[], [], []];
  const add = (endMs: number, value: number, corrected: boolean): void => {
    line[0].push(endMs / 1000);
    line[1].push(value);
    line[2].push(corrected);
  };
  let before: number | null = null;
  for (const { endMs, value, state } of points) {
    if (before !== null && endMs - before > MINUTE_MS) {
      add(before + MINUTE_MS, 0, false);
      if (endMs - MINUTE_MS > before + MINUTE_MS) add(endMs - MINUTE_MS, 0, false);
    }
    add(endMs, value, state === "corrected");
    before = endMs;
  }
  // The last minute may not have been written yet.
  if (before !== null && nowMs - before > 3 * MINUTE_MS) {
    add(before + MINUTE_MS, 0, false);
    add(nowMs, 0, false);
  }
  return line;
}
