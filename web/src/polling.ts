/** When the overview is asked for again, and what an answer that did not come says of the gateway. Pure. */

export const POLL_MS = 5_000; // who is there; the numbers themselves come live
const SILENCES_MAX = 2; // in a row; then a live connection that says nothing is not believed either
const RETRY_AFTER_MAX_MS = 60_000; // a mistaken header must not stop the page for an hour

/** The gateway answered, but not with what was asked for: it lives, whatever it lacks. */
export class RefusedError extends Error {
  override name = "RefusedError";
  readonly retryAfterMs: number | null;

  constructor(message: string, retryAfterMs: number | null = null) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** Nobody is logged in, and somebody must be. */
export class StrangerError extends RefusedError {
  override name = "StrangerError";
}

/** Nothing came, or not to its end: a network fault or a timeout. */
export class SilenceError extends Error {
  override name = "SilenceError";
}

export interface Polling {
  readonly silences: number; // in a row
  readonly refusedSinceMs: number | null; // the gateway has answered since, but not with an overview
}

export const FIRST: Polling = { silences: 0, refusedSinceMs: null };

export interface Next {
  readonly polling: Polling;
  readonly waitMs: number;
  /** The gateway wants it no sooner, whatever else happens. */
  readonly leastMs: number;
  /** The gateway is not there: neither is the live connection. */
  readonly abandon: boolean;
}

/**
 * What follows on a poll; `error` is what it failed with, null where it did not. Only silence speaks against the
 * gateway: with Redis away it answers 503 while the live connection says `stale`, and dropping that would help nobody.
 * `luck` is in [0, 1): viewers who came together do not ask together for ever.
 */
export function next(before: Polling, error: unknown, nowMs: number, luck: number): Next {
  const usual = { waitMs: Math.round(POLL_MS * (0.8 + luck * 0.4)), leastMs: 0, abandon: false };
  if (error === null) return { ...usual, polling: FIRST };
  if (error instanceof SilenceError) {
    const silences = before.silences + 1;
    return { ...usual, polling: { ...before, silences }, abandon: silences >= SILENCES_MAX };
  }
  const polling = { silences: 0, refusedSinceMs: before.refusedSinceMs ?? nowMs };
  if (!(error instanceof RefusedError) || error.retryAfterMs === null) return { ...usual, polling };
  return { ...usual, polling, waitMs: Math.round(error.retryAfterMs * (1 + luck * 0.2)), leastMs: error.retryAfterMs };
}

/** `Retry-After` of a 429 or 503 in ms, within bounds; null where it says no number of seconds, as the gateway does. */
export function retryAfterMs(status: number, header: string | null): number | null {
  if ((status !== 429 && status !== 503) || header === null || !/^\s*\d+\s*$/.test(header)) return null;
  return Math.min(Math.max(1, Number(header)) * 1_000, RETRY_AFTER_MAX_MS);
}
