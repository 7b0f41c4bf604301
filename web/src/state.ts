/** Everything the page knows, and how each message changes it. Pure: time is an argument, nothing is drawn here. */

import type { Course, Overview, Student, Team } from "./api.ts";
import { isNewer, type Frame, type Metric, type Point } from "./frames.ts";

export const SCOPES_MAX = 64; // of one live connection; the gateway refuses more

export type Connection =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" }
  | { readonly kind: "stale"; readonly sinceMs: number } // the gateway has lost its source
  | { readonly kind: "lost"; readonly sinceMs: number; readonly retryAtMs: number };

/** A scope's values; `live` while a subscription keeps them up to date. */
interface Held {
  values: Map<string, Point>;
  live: { epoch: string; offset: number } | null;
  staleSinceMs: number | null;
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
    }
  }

  /**
   * Returns whether anything changed. Throws GapError where an update does not follow what is held. A frame seen
   * before, or older than the snapshot, changes nothing.
   */
  takeFrame(frame: Frame): boolean {
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
    let newest: number | null = null;
    for (const { scope } of this.courses) {
      for (const point of this.held.get(scope)?.values.values() ?? []) {
        if (newest === null || point.asOfMs > newest) newest = point.asOfMs;
      }
    }
    return newest;
  }

  private of(scope: string): Held {
    let held = this.held.get(scope);
    if (held === undefined) {
      held = { values: new Map(), live: null, staleSinceMs: null };
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
