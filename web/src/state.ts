/** Everything the page knows, and how each message changes it. Pure: time is an argument, nothing is drawn here. */

import type { Course, Overview, Student, Team } from "./api.ts";
import { isNewer, type Frame, type Metric, type Point } from "./frames.ts";
import { isLongAgo, isOld, moved, OLD_MS, type Movement } from "./freshness.ts";

export const SCOPES_MAX = 64; // of one live connection; the gateway refuses more

export type Connection =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" }
  | { readonly kind: "stale"; readonly sinceMs: number } // the gateway has lost its source
  | { readonly kind: "lost"; readonly sinceMs: number; readonly retryAtMs: number };

/** What the viewer is told in one word: a live connection is worth little while what it brings stands still. */
export type Condition = Connection["kind"] | "old";

/** A scope's values; `live` while a subscription keeps them up to date. */
interface Held {
  values: Map<string, Point>;
  live: { epoch: string; offset: number } | null;
  staleSinceMs: number | null;
  movement: Movement | null; // null: no value yet
}

/** An update is missing: only a fresh snapshot helps. */
export class GapError extends Error {
  override name = "GapError";
}

export class State {
  overview: Overview | null = null;
  connection: Connection = { kind: "connecting" };
  /** The gateway's clock less ours, ms: ages must not depend on the viewer's clock. */
  clockAheadMs = 0;
  /** Since when, by our clock, the gateway has answered without an overview; null while it gives one. */
  refusedSinceMs: number | null = null;
  private readonly held = new Map<string, Held>();

  /** Returns the scopes worth a subscription: courses first, then teams; what is beyond the bound is polled. */
  get scopes(): string[] {
    const { courses = [], teams = [] } = this.overview ?? {};
    return [...courses, ...teams].map((each) => each.scope).slice(0, SCOPES_MAX);
  }

  get courses(): readonly Course[] {
    return this.overview?.courses ?? [];
  }

  teamsOf(courseId: string): Team[] {
    return (this.overview?.teams ?? []).filter((team) => team.courseId === courseId);
  }

  get students(): readonly Student[] {
    return this.overview?.students ?? [];
  }

  value(scope: string, metric: Metric): Point | undefined {
    return this.held.get(scope)?.values.get(metric);
  }

  /** Takes over who there is, and the values of what no subscription keeps. */
  takeOverview(overview: Overview, nowMs: number): void {
    this.overview = overview;
    this.clockAheadMs = overview.asOfMs - nowMs;
    for (const each of [...overview.courses, ...overview.teams, ...overview.students]) {
      const held = this.of(each.scope);
      if (held.live !== null) continue;
      for (const [field, point] of each.values) {
        if (isNewer(point, held.values.get(field))) held.values.set(field, point);
      }
      this.note(held, nowMs);
    }
  }

  /**
   * Returns whether anything changed. Throws GapError where an update does not follow what is held. A frame seen
   * before, or older than the snapshot, changes nothing.
   */
  takeFrame(frame: Frame, nowMs: number): boolean {
    if (frame.type === "error") return false;
    const held = this.of(frame.scope);
    if (frame.type === "snapshot") {
      held.values = new Map(frame.values.map((point) => [fieldOf(point), point]));
      held.live = { epoch: frame.epoch, offset: frame.offset };
      held.staleSinceMs = null;
    } else if (frame.type === "stale") {
      held.staleSinceMs = frame.sinceMs;
      held.live = null; // a fresh snapshot must come before the next update counts
    } else {
      if (held.live === null) throw new GapError(`${frame.scope}: an update without a snapshot`);
      // A scope that has never had a value has no epoch yet; its first update brings one.
      if (held.live.epoch !== frame.epoch && held.live.epoch !== "") {
        throw new GapError(`${frame.scope}: epoch ${frame.epoch} after ${held.live.epoch}`);
      }
      if (frame.offset <= held.live.offset) return false;
      if (frame.offset !== held.live.offset + 1 + frame.skipped) {
        throw new GapError(`${frame.scope}: offset ${frame.offset} after ${held.live.offset}`);
      }
      held.live = { epoch: frame.epoch, offset: frame.offset };
      for (const point of frame.values) {
        const field = fieldOf(point);
        if (isNewer(point, held.values.get(field))) held.values.set(field, point);
      }
    }
    this.note(held, nowMs);
    return true;
  }

  /** The subscription is gone: values stay as they are, and may be renewed by the overview. */
  unsubscribe(): void {
    for (const held of this.held.values()) {
      held.live = null;
      held.staleSinceMs = null;
    }
  }

  /** Since when the gateway has had no fresh values, epoch ms; null while all is well. */
  get staleSinceMs(): number | null {
    const since = [...this.held.values()].flatMap((held) => (held.staleSinceMs === null ? [] : [held.staleSinceMs]));
    return since.length === 0 ? null : Math.min(...since);
  }

  /** Whether every scope of `scopes` has had its snapshot. */
  covers(scopes: readonly string[]): boolean {
    return scopes.every((scope) => this.held.get(scope)?.live != null);
  }

  /** Event time of the newest value shown, epoch ms; null while there is none. */
  get asOfMs(): number | null {
    const known = this.courses.flatMap(({ scope }) => this.held.get(scope)?.movement?.asOfMs ?? []);
    return known.length === 0 ? null : Math.max(...known);
  }

  /** How long ago, by the gateway's clock, what happened then: an `as_of` may be ahead, as a producer's clock is. */
  ageMs(asOfMs: number, nowMs: number): number {
    return Math.max(0, nowMs + this.clockAheadMs - asOfMs);
  }

  /** Since when, by our clock, nothing new has come of a course in which something goes on; null while all is well. */
  oldSinceMs(scope: string, nowMs: number): number | null {
    const movement = this.held.get(scope)?.movement;
    if (movement == null) return null;
    return isOld(movement, this.value(scope, "active_students")?.n ?? 0, nowMs) ? movement.movedAtMs : null;
  }

  /** The courses with old values, while the connection itself is live: otherwise that says it all. */
  oldCourses(nowMs: number): Course[] {
    if (this.connection.kind !== "live") return [];
    return this.courses.filter(({ scope }) => this.oldSinceMs(scope, nowMs) !== null);
  }

  /** Since when, by our clock, the students are as they were, although the courses are live; null while all is well. */
  studentsOldSinceMs(nowMs: number): number | null {
    const since = this.refusedSinceMs;
    return this.connection.kind === "live" && since !== null && nowMs - since > OLD_MS ? since : null;
  }

  condition(nowMs: number): Condition {
    const old = this.oldCourses(nowMs).length > 0 || this.studentsOldSinceMs(nowMs) !== null;
    return old ? "old" : this.connection.kind;
  }

  /** What the time is in a course, epoch ms: the gateway's clock, or in a replay of another day, where that is. */
  eventNowMs(scope: string, nowMs: number): { readonly ms: number; readonly longAgo: boolean } {
    const asOfMs = this.held.get(scope)?.movement?.asOfMs;
    if (asOfMs !== undefined && isLongAgo(this.ageMs(asOfMs, nowMs))) return { ms: asOfMs, longAgo: true };
    return { ms: nowMs + this.clockAheadMs, longAgo: false };
  }

  private note(held: Held, nowMs: number): void {
    if (held.values.size === 0) return;
    const asOfMs = Math.max(...[...held.values.values()].map((point) => point.asOfMs));
    held.movement = moved(held.movement, asOfMs, nowMs, this.ageMs(asOfMs, nowMs));
  }

  private of(scope: string): Held {
    let held = this.held.get(scope);
    if (held === undefined) {
      held = { values: new Map(), live: null, staleSinceMs: null, movement: null };
      this.held.set(scope, held);
    }
    return held;
  }
}

export interface Totals {
  readonly active: number;
  readonly students: number;
  readonly eventsPerMinute: number;
  readonly waiting: number;
}

/** The school as a whole. A student of two courses is one student, so people are counted among the students. */
export function totals(state: State): Totals {
  let eventsPerMinute = 0;
  for (const { scope } of state.courses) eventsPerMinute += state.value(scope, "events_per_minute")?.value ?? 0;
  return {
    active: state.students.filter((student) => student.active).length,
    students: state.students.length,
    eventsPerMinute,
    waiting: state.students.filter((student) => student.waiting).length,
  };
}

export type Presence = "active" | "idle" | "waiting";

/** Waiting says more than active: somebody should go there. */
export function presence(student: Student): Presence {
  if (student.waiting) return "waiting";
  return student.active ? "active" : "idle";
}

export interface Group {
  readonly teamId: string | null;
  readonly name: string | null; // null: students without a team
  readonly students: readonly Student[];
}

/** The students of a course by team: teams in the overview's order, then those without one. */
export function groups(state: State, courseId: string): Group[] {
  const byTeam = new Map<string | null, Student[]>(state.teamsOf(courseId).map((team) => [team.teamId, []]));
  for (const student of state.students) {
    for (const enrolment of student.enrolments) {
      if (enrolment.courseId !== courseId) continue;
      const members = byTeam.get(enrolment.teamId);
      if (members === undefined) byTeam.set(enrolment.teamId, [student]);
      else members.push(student);
    }
  }
  const names = new Map<string | null, string>(state.teamsOf(courseId).map((team) => [team.teamId, team.name]));
  return [...byTeam]
    .filter(([, students]) => students.length > 0)
    .sort(([a], [b]) => Number(a === null) - Number(b === null))
    .map(([teamId, students]) => ({ teamId, name: teamId === null ? null : (names.get(teamId) ?? teamId), students }));
}

/** Students whom no course of the overview holds: those who are not on the roster. */
export function strays(state: State): Student[] {
  const known = new Set(state.courses.map((course) => course.courseId));
  return state.students.filter((student) => !student.enrolments.some(({ courseId }) => known.has(courseId)));
}

function fieldOf(point: Point): string {
  return point.label === "" ? point.metric : `${point.metric}:${point.label}`;
}
