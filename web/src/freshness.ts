/**
 * Whether a course's values still move with time. Pure.
 *
 * The age of a value is the gateway's clock less its `as_of`, which is event time. Age alone does not tell a pipeline
 * that stands still from what is well:
 *
 * - In an empty room `as_of` rests. The pipelines tell of a course until every window has slid over its last event and
 *   says 0, and then no more: nothing is missing, for what is shown stays true. So only a course that still counts
 *   events in its last five minutes can be old: each of its windows must slide every ten seconds.
 * - A replay of an old year is years behind, and moves. So a course is old when its `as_of` has not changed for a while
 *   by the viewer's own clock, however far back it lies. When the replay is over, event time goes on as the clock does
 *   until all is 0, and the course rests as a room does overnight.
 *
 * What a viewer finds on arriving has not been seen to move. Up to a day of age it is taken to have stood still since
 * its `as_of`, so that who reloads the page of a dead pipeline is told at once; beyond, it is believed to be a replay,
 * and has as long to move as anything else. What this cannot see is a pipeline that dies while the room is empty.
 */

export const OLD_MS = 30_000; // three slides of a window
const DAY_MS = 86_400_000;

/** A course's newest `as_of`, and when it came to be that one by the viewer's clock. */
export interface Movement {
  readonly asOfMs: number;
  readonly movedAtMs: number;
}

export function moved(before: Movement | null, asOfMs: number, nowMs: number, ageMs: number): Movement {
  if (before === null) return { asOfMs, movedAtMs: isLongAgo(ageMs) ? nowMs : nowMs - Math.max(0, ageMs) };
  // Back is a move, too: Redis may have started anew.
  return asOfMs === before.asOfMs ? before : { asOfMs, movedAtMs: nowMs };
}

/** `recent`: the events it counts in its last five minutes. */
export function isOld(movement: Movement, recent: number, nowMs: number): boolean {
  return recent > 0 && nowMs - movement.movedAtMs > OLD_MS;
}

/** Of another day: a date says more than an age, and "the last half hour" is that of then. */
export function isLongAgo(ageMs: number): boolean {
  return ageMs > DAY_MS;
}
