/** Everything the page knows, and how each message changes it. Pure: time is an argument, nothing is drawn here. */

import type { Course, Overview, Student, Team } from "./api.ts";
import { isNewer, type Frame, type Metric, type Point } from "./frames.ts";
import { isLongAgo, isOld, moved, OLD_MS, type Movement } from "./freshness.ts";
import { ONCALL, pipelineOf, type Pipeline } from "./pipeline.ts";
import type { Place } from "./route.ts";

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
  /** By how much that may be wrong: half of the time the answer took. */
  clockDoubtMs = 0;
  /** Since when, by our clock, the gateway has answered without an overview; null while it gives one. */
  refusedSinceMs: number | null = null;
  private readonly held = new Map<string, Held>();

  /** Somebody must log in, and nobody has. */
  stranger = false;
  /** Who is logged in; null where nobody has to, or it is not known yet. */
  who: string | null = null;
  /** Whether how all of it runs may be shown to him. */
  oncall = false;
  /** How all of it runs; null while nobody has looked. */
  pipeline: Pipeline | null = null;

  /** What the viewer looks at: its scope is worth a subscription before others. */
  focus: Place = { view: "school" };

  /**
   * The scopes worth a subscription: the school, its courses, then teams, and the student in view; what is beyond the
   * bound is polled. While all fit, their order does not depend on the view: nothing is subscribed anew.
   */
  get scopes(): string[] {
    const { focus } = this;
    const oncall = focus.view === "oncall" && this.oncall ? [ONCALL] : [];
    if (this.overview === null) return oncall;
    const { school, courses, teams } = this.overview;
    const viewed = focus.view === "student" && this.student(focus.id) !== undefined ? [`student:${focus.id}`] : oncall;
    const all = [...listed(school), ...courses, ...teams].map((each) => each.scope);
    if (all.length + viewed.length <= SCOPES_MAX) return [...all, ...viewed];
    const first = focus.view === "course" ? [`course:${focus.id}`, ...this.teamsOf(focus.id).map((team) => team.scope)] : [];
    return [...new Set([...listed(school).map((each) => each.scope), ...viewed, ...first, ...all])].slice(0, SCOPES_MAX);
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

  course(courseId: string): Course | undefined {
    return this.courses.find((course) => course.courseId === courseId);
  }

  student(studentId: string): Student | undefined {
    return this.students.find((student) => student.studentId === studentId);
  }

  value(scope: string, metric: Metric): Point | undefined {
    return this.at(scope, metric);
  }

  /** By its name within the scope: `metric`, or `metric:label`. */
  at(scope: string, field: string): Point | undefined {
    return this.held.get(scope)?.values.get(field);
  }

  /** All labels of a metric that a scope has. */
  labelled(scope: string, metric: string): Point[] {
    return [...(this.held.get(scope)?.values.values() ?? [])].filter((point) => point.metric === metric && point.label !== "");
  }

  /** What the pipelines say of the whole school; undefined while they have not. */
  ofSchool(metric: Metric): Point | undefined {
    const school = this.overview?.school ?? null;
    return school === null ? undefined : this.value(school.scope, metric);
  }

  /** `tookMs`: from asking to the answer, which came at `nowMs`. Takes over who there is, and the values of what no subscription keeps. */
  takeOverview(overview: Overview, nowMs: number, tookMs = 0): void {
    this.overview = overview;
    this.clockDoubtMs = tookMs / 2;
    this.clockAheadMs = overview.asOfMs - (nowMs - this.clockDoubtMs);
    for (const each of [...listed(overview.school), ...overview.courses, ...overview.teams, ...overview.students]) {
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
    if (frame.type !== "stale" && frame.pipeline !== undefined) this.pipeline = pipelineOf(frame.pipeline);
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

function fieldOf(point: Point): string {
  return point.label === "" ? point.metric : `${point.metric}:${point.label}`;
}

function listed<Item>(item: Item | null): Item[] {
  return item === null ? [] : [item];
}
