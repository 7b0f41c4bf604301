import assert from "node:assert/strict";
import { test } from "node:test";
import { overviewOf, type Overview } from "../src/api.ts";
import type { Frame, Point } from "../src/frames.ts";
import { OLD_MS } from "../src/freshness.ts";
import { groups, presence, queue, strays, waiting } from "../src/people.ts";
import { GapError, SCOPES_MAX, State } from "../src/state.ts";

const COURSE = "course:py101";
const SCHOOL = "school:all";

function point(value: number, { startMs = 0, asOfMs = 1_000, metric = "events_per_minute" } = {}): Point {
  return { metric, label: "", value, n: value, windowS: 60, startMs, asOfMs, state: "provisional" };
}

function snapshot(offset: number, values: Point[], epoch = "e", scope = COURSE): Frame {
  return { type: "snapshot", scope, epoch, offset, values };
}

function update(offset: number, values: Point[], { epoch = "e", skipped = 0 } = {}): Frame {
  return { type: "update", scope: COURSE, epoch, offset, skipped, values };
}

function value(item: number, asOf = "2026-01-15T00:00:01Z"): object {
  return {
    value: item,
    n: item,
    window_s: 60,
    start: "2026-01-15T00:00:00Z",
    end: "2026-01-15T00:01:00Z",
    as_of: asOf,
    age_s: 1,
    state: "provisional",
    watermark: null,
  };
}

function school(): Overview {
  const student = (id: string, more: object): object => ({
    scope: `student:${id}`,
    student_id: id,
    name: id.toUpperCase(),
    on_roster: true,
    active: false,
    struggling: false,
    waiting: false,
    waiting_s: null,
    last_seen: null,
    values: {},
    enrolments: [{ course_id: "py101", team_id: "t1" }],
    ...more,
  });
  return overviewOf({
    as_of: "2026-01-15T00:00:10Z",
    school: { scope: SCHOOL, students: 3, active: 0, values: {} },
    courses: [
      {
        scope: COURSE,
        course_id: "py101",
        name: "Python",
        on_roster: true,
        students: 3,
        active: 1,
        values: { events_per_minute: value(5) },
      },
      { scope: "course:ds201", course_id: "ds201", name: null, on_roster: false, students: 0, active: 0, values: {} },
    ],
    teams: [
      {
        scope: "team:py101/t1",
        course_id: "py101",
        team_id: "t1",
        name: "Team 1",
        on_roster: true,
        students: 2,
        active: 1,
        values: {},
      },
    ],
    students: [
      student("a", {
        active: true,
        enrolments: [
          { course_id: "py101", team_id: "t1" },
          { course_id: "ds201", team_id: null },
        ],
      }),
      student("b", { active: true, struggling: true, waiting: true, waiting_s: 75.5, last_seen: "2026-01-15T00:00:09Z" }),
      student("c", { enrolments: [{ course_id: "py101", team_id: null }] }),
      student("d", { name: null, on_roster: false, enrolments: [] }),
    ],
  });
}

test("a snapshot, then the updates after it", () => {
  const state = new State();
  assert.ok(state.takeFrame(snapshot(7, [point(1)]), 0));
  assert.ok(state.takeFrame(update(8, [point(2, { asOfMs: 2_000 })]), 0));
  assert.ok(state.takeFrame(update(9, [point(1, { startMs: 10_000 })]), 0));
  assert.equal(state.value(COURSE, "events_per_minute")?.value, 1);
});

test("an update seen before, or from before the snapshot, changes nothing", () => {
  const state = new State();
  state.takeFrame(snapshot(7, [point(1)]), 0);
  assert.ok(!state.takeFrame(update(7, [point(99, { startMs: 10_000 })]), 0));
  assert.ok(!state.takeFrame(update(3, [point(99, { startMs: 10_000 })]), 0));
  assert.equal(state.value(COURSE, "events_per_minute")?.value, 1);
});

test("an update that skipped some covers them; one that is missing is a gap", () => {
  const state = new State();
  state.takeFrame(snapshot(7, []), 0);
  assert.ok(state.takeFrame(update(12, [point(4)], { skipped: 4 }), 0));
  assert.throws(() => state.takeFrame(update(14, [point(5)]), 0), GapError);
  assert.throws(() => state.takeFrame(update(15, [point(5)], { skipped: 1 }), 0), GapError);
  assert.equal(state.value(COURSE, "events_per_minute")?.value, 4);
});

test("another epoch needs a snapshot, but a scope without any value yet has none", () => {
  const state = new State();
  state.takeFrame(snapshot(7, []), 0);
  assert.throws(() => state.takeFrame(update(8, [], { epoch: "f" }), 0), GapError);
  state.takeFrame(snapshot(0, [], ""), 0);
  assert.ok(state.takeFrame(update(1, [point(1)], { epoch: "f" }), 0));
  assert.throws(() => state.takeFrame(update(2, [], { epoch: "e" }), 0), GapError);
});

test("an update without a snapshot is a gap, also after the source was away", () => {
  const state = new State();
  assert.throws(() => state.takeFrame(update(1, []), 0), GapError);
  state.takeFrame(snapshot(1, [point(3)]), 0);
  state.takeFrame({ type: "stale", scope: COURSE, sinceMs: 42 }, 0);
  assert.equal(state.staleSinceMs, 42);
  assert.equal(state.value(COURSE, "events_per_minute")?.value, 3, "what is known stays");
  assert.throws(() => state.takeFrame(update(2, []), 0), GapError);
  state.takeFrame(snapshot(5, [point(6)]), 0);
  assert.equal(state.staleSinceMs, null);
});

test("a snapshot replaces everything, even by older values: Redis may have started anew", () => {
  const state = new State();
  state.takeFrame(snapshot(7, [point(9, { startMs: 90_000 }), point(2, { metric: "active_students" })]), 0);
  state.takeFrame(snapshot(1, [point(1)], "f"), 0);
  assert.equal(state.value(COURSE, "events_per_minute")?.value, 1);
  assert.equal(state.value(COURSE, "active_students"), undefined);
});

test("the overview fills in what is not live, and never steps back", () => {
  const state = new State();
  state.takeOverview(school(), 0);
  assert.equal(state.value(COURSE, "events_per_minute")?.value, 5);
  const liveMs = Date.parse("2026-01-15T00:00:00Z");
  state.takeFrame(snapshot(1, [point(7, { startMs: liveMs, asOfMs: liveMs + 5_000 })]), 0);
  state.takeOverview(school(), 0);
  assert.equal(state.value(COURSE, "events_per_minute")?.value, 7, "live values stay");
  state.unsubscribe();
  state.takeOverview(school(), 0);
  assert.equal(state.value(COURSE, "events_per_minute")?.value, 7, "the overview's is older");
});

test("ages go by the gateway's clock", () => {
  const state = new State();
  state.takeOverview(school(), Date.parse("2026-01-15T01:00:10Z"));
  assert.equal(state.clockAheadMs, -3_600_000);
  assert.equal(state.asOfMs, Date.parse("2026-01-15T00:00:01Z"));
});

test("a student of two courses counts once in the school, and stands in both courses", () => {
  const state = new State();
  state.takeOverview(school(), 0);
  const names = (courseId: string): unknown =>
    groups(state, courseId).map(({ teamId, name, students }) => [
      teamId,
      name,
      students.map((student) => student.studentId),
    ]);
  assert.deepEqual(names("py101"), [
    ["t1", "Team 1", ["a", "b"]],
    [null, null, ["c"]],
  ]);
  assert.deepEqual(names("ds201"), [[null, null, ["a"]]]);
  assert.deepEqual(
    strays(state).map((student) => [student.name, student.onRoster]),
    [["d", false]],
  );
});

test("how many wait is told as the pipelines say, live or polled, and counted while they have not said", () => {
  const state = new State();
  state.takeOverview(school(), 0);
  assert.equal(waiting(state), 1);
  const said = point(2, { metric: "help_requests_open" });
  state.takeFrame(snapshot(1, [said], "e", SCHOOL), 0);
  assert.equal(waiting(state), 2);
  const polled = new State();
  const values = new Map([[said.metric, said]]);
  polled.takeOverview({ ...school(), school: { scope: SCHOOL, students: 3, values } }, 0);
  assert.equal(waiting(polled), 2);
});

test("who waits is shown waiting, then who struggles, then as the pipelines say he is there", () => {
  const each = (more: object): string[] => school().students.map((student) => presence({ ...student, ...more }));
  assert.deepEqual(each({ present: true, idle: false }), ["active", "waiting", "active", "active"]);
  assert.deepEqual(each({ present: true, idle: true }), ["idle", "waiting", "idle", "idle"]);
  assert.deepEqual(each({ present: false, idle: false }), ["away", "waiting", "away", "away"]);
  assert.deepEqual(each({}), ["active", "waiting", "away", "away"], "they have not said: by his last five minutes");
  assert.deepEqual(each({ struggling: true }), ["struggling", "waiting", "struggling", "struggling"]);
});

test("the queue goes by how long they wait; who has not been told of is last", () => {
  const state = new State();
  const waits: Readonly<Record<string, number | null>> = { a: 10, b: null, c: 300 };
  const students = school().students.map((student) => ({
    ...student,
    waiting: student.studentId in waits,
    waitingS: waits[student.studentId] ?? null,
  }));
  state.takeOverview({ ...school(), students }, 0);
  const names = (courseId: string): string[] => queue(state, courseId).map(({ student }) => student.studentId);
  assert.deepEqual(names("py101"), ["c", "a", "b"]);
  assert.deepEqual(names("ds201"), ["a"]);
  assert.deepEqual(
    queue(state, "py101").map(({ team }) => team),
    ["", "Team 1", "Team 1"],
  );
});

test("the clock is taken as of the middle of asking, and may be wrong by half of it", () => {
  const state = new State();
  state.takeOverview(school(), school().asOfMs, 80);
  assert.deepEqual([state.clockAheadMs, state.clockDoubtMs], [40, 40]);
});

test("subscribed are the school, its courses, then teams, up to the gateway's bound; live is when each has its snapshot", () => {
  const state = new State();
  const scopes = (): string[] => state.scopes;
  assert.deepEqual(scopes(), []);
  state.takeOverview(school(), 0);
  assert.deepEqual(state.scopes, [SCHOOL, COURSE, "course:ds201", "team:py101/t1"]);
  for (const scope of state.scopes) {
    assert.ok(!state.covers(state.scopes));
    state.takeFrame(snapshot(0, [], "", scope), 0);
  }
  assert.ok(state.covers(state.scopes));

  const [team] = school().teams;
  assert.ok(team);
  const many = Array.from({ length: 100 }, (_, index) => ({ ...team, scope: `team:py101/t${index}` }));
  state.takeOverview({ ...school(), teams: many }, 0);
  assert.equal(state.scopes.length, SCOPES_MAX);
  state.focus = { view: "student", id: "c" };
  assert.deepEqual(state.scopes.slice(0, 2), [SCHOOL, "student:c"], "the student in view before others");
  state.focus = { view: "student", id: "nobody" };
  assert.ok(!scopes().includes("student:nobody"));

  const other = { ...team, courseId: "ds201", scope: "team:ds201/t1" };
  state.takeOverview({ ...school(), teams: [...many, other] }, 0);
  assert.ok(!scopes().includes(other.scope));
  state.focus = { view: "course", id: "ds201" };
  assert.ok(scopes().includes(other.scope), "the teams in view before others");
  assert.equal(state.scopes.length, SCOPES_MAX);
});

test("while all fit, looking elsewhere subscribes nothing anew", () => {
  const state = new State();
  state.takeOverview(school(), 0);
  const before = state.scopes;
  state.focus = { view: "course", id: "ds201" };
  assert.deepEqual(state.scopes, before);
  state.focus = { view: "student", id: "c" };
  assert.deepEqual(state.scopes, [...before, "student:c"]);
});

/** A live page at `nowMs`, both clocks alike, with one course that counts `recent` events as of `asOfMs`. */
function watching(asOfMs: number, nowMs: number, recent = 3): State {
  const state = new State();
  state.takeOverview(unseen(nowMs), nowMs);
  state.takeFrame(snapshot(1, told(asOfMs, recent)), nowMs);
  state.connection = { kind: "live" };
  return state;
}

/** The school at `asOfMs`, before anything was said of it. */
function unseen(asOfMs: number): Overview {
  const courses = school().courses.map((course) => ({ ...course, values: new Map() }));
  return { ...school(), asOfMs, courses };
}

function told(asOfMs: number, recent = 3): Point[] {
  return [point(recent, { metric: "active_students", startMs: asOfMs - 295_000, asOfMs })];
}

const NOW = Date.parse("2026-01-15T09:00:00Z");
const YEARS_BACK = Date.parse("2019-10-01T09:00:00Z");

test("a live connection whose values stand still is old, and fresh with the next value", () => {
  const state = watching(NOW - 1_000, NOW);
  assert.equal(state.condition(NOW + OLD_MS - 1_000), "live");
  const later = NOW + OLD_MS;
  assert.equal(state.condition(later), "old");
  assert.equal(state.oldSinceMs(COURSE, later), NOW - 1_000);
  assert.deepEqual(
    state.oldCourses(later).map(({ courseId }) => courseId),
    ["py101"],
  );
  state.takeFrame(update(2, told(later)), later);
  assert.equal(state.condition(later), "live");
});

test("the same value told again does not make it newer", () => {
  const state = watching(NOW, NOW);
  state.takeFrame(update(2, told(NOW)), NOW + OLD_MS);
  assert.equal(state.condition(NOW + OLD_MS + 1), "old");
});

test("a page opened while the pipelines stand still says so at once", () => {
  assert.equal(watching(NOW - 5 * 60_000, NOW).condition(NOW), "old");
});

test("an empty room rests, and is not old however long", () => {
  const state = watching(NOW - 1_000, NOW, 0);
  assert.equal(state.condition(NOW + 14 * 3_600_000), "live");
});

test("a connection that is not live says more than the age of the data", () => {
  const state = watching(NOW - 5 * 60_000, NOW);
  state.connection = { kind: "stale", sinceMs: NOW };
  assert.equal(state.condition(NOW), "stale");
  assert.deepEqual(state.oldCourses(NOW), []);
});

test("a replay of an old year is live while it moves, and has its own time", () => {
  const state = watching(YEARS_BACK, NOW);
  for (let step = 1; step <= 30; step += 1) {
    const nowMs = NOW + step * 10_000;
    assert.equal(state.condition(nowMs), "live");
    state.takeFrame(update(1 + step, told(YEARS_BACK + step * 10_000)), nowMs);
  }
  const end = NOW + 300_000;
  assert.deepEqual(state.eventNowMs(COURSE, end), { ms: YEARS_BACK + 300_000, longAgo: true });
  assert.equal(state.condition(end + OLD_MS + 1), "old", "it stands still with students in it");
});

test("a producer's clock that is ahead makes nothing old, and the time is the gateway's", () => {
  const state = watching(NOW + 60_000, NOW);
  assert.equal(state.condition(NOW), "live");
  assert.equal(state.ageMs(NOW + 60_000, NOW), 0);
  assert.deepEqual(state.eventNowMs(COURSE, NOW), { ms: NOW, longAgo: false });
});

test("ages do not depend on the viewer's clock", () => {
  const state = new State();
  const ours = NOW - 3_600_000; // an hour behind the gateway's
  state.takeOverview(unseen(NOW), ours);
  state.takeFrame(snapshot(1, told(NOW - 1_000)), ours);
  state.connection = { kind: "live" };
  assert.equal(state.condition(ours), "live");
  assert.equal(state.condition(ours + OLD_MS), "old");
});

test("students whom the gateway has long refused to tell of are old, though the courses are live", () => {
  const state = watching(NOW, NOW, 0);
  state.refusedSinceMs = NOW;
  assert.equal(state.condition(NOW + OLD_MS), "live");
  assert.equal(state.condition(NOW + OLD_MS + 1), "old");
  assert.equal(state.studentsOldSinceMs(NOW + OLD_MS + 1), NOW);
});
