/** One course: its numbers, who waits for help, the last half hour, its teams, its students. */

import type { Course, Student } from "../api.ts";
import { Chart } from "../chart.ts";
import { element, KeyedList, setAttribute, setText, type View } from "../dom.ts";
import type { Metric } from "../frames.ts";
import { groups } from "../state.ts";
import type { Page } from "./page.ts";
import { StudentMap } from "./students.ts";
import { TeamTable } from "./teams.ts";

interface Waiter {
  readonly student: Student;
  readonly team: string;
}

export class CourseView implements View<Course> {
  readonly root: HTMLElement;
  private readonly name = element("h2");
  private readonly badge: HTMLElement;
  private readonly old: HTMLElement;
  private readonly events: HTMLElement;
  private readonly active: HTMLElement;
  private readonly students = element("small");
  private readonly errors: HTMLElement;
  private readonly attempts = element("small");
  private readonly waiting: HTMLElement;
  private readonly waitingStat: HTMLElement;
  private readonly waiters: KeyedList<Waiter>;
  private readonly nobody: HTMLElement;
  private readonly chart: Chart;
  private readonly teams: TeamTable;
  private readonly map: StudentMap;

  private readonly page: Page;

  constructor(page: Page, course: Course) {
    this.page = page;
    const { locale } = page;
    const { texts } = locale;
    const value = (metric: Metric): HTMLElement => element("strong", { "data-testid": `${course.scope}:${metric}` });
    this.events = value("events_per_minute");
    this.active = value("active_students");
    this.errors = value("error_rate");
    this.waiting = value("help_requests_open");
    this.badge = element("span", { class: "badge" }, texts.notOnRoster);
    this.old = element("span", { class: "old", "data-testid": `${course.scope}:old` });
    this.waitingStat = figure(texts.waiting, "", this.waiting);
    this.nobody = element("span", { class: "nobody" }, texts.nobodyWaits);
    const queue = element("ul", { class: "queue", "aria-label": texts.waiting });
    this.waiters = new KeyedList(
      queue,
      ({ student }) => student.scope,
      () => new WaiterView(),
    );
    this.chart = new Chart(locale);
    this.teams = new TeamTable(page);
    this.map = new StudentMap(page);
    const heading = element(
      "div",
      { class: "course-head" },
      this.name,
      element("code", {}, course.courseId),
      this.badge,
      this.old,
    );
    this.root = element(
      "article",
      { class: "card", "data-testid": course.scope },
      heading,
      element(
        "dl",
        { class: "figures" },
        figure(texts.eventsPerMinute, texts.eventsPerMinuteHint, this.events),
        figure(texts.activeStudents, texts.activeNowHint, this.active, this.students),
        figure(texts.errorRate, texts.errorRateHint, this.errors, this.attempts),
        this.waitingStat,
      ),
      element("div", { class: "waiters" }, this.nobody, queue),
      this.chart.root,
      this.teams.root,
      this.map.root,
    );
  }

  /** Call when the page drops the course. */
  destroy(): void {
    this.chart.destroy();
  }

  update(course: Course): void {
    const { state, locale } = this.page;
    const value = (metric: Metric) => state.value(course.scope, metric);
    setText(this.name, course.name);
    this.badge.hidden = course.onRoster;
    const nowMs = this.page.nowMs();
    const oldSinceMs = state.oldSinceMs(course.scope, nowMs);
    this.old.hidden = oldSinceMs === null;
    setText(this.old, oldSinceMs === null ? "" : locale.say("oldCourse", { ago: locale.ago(nowMs - oldSinceMs) }));
    setAttribute(this.root, "data-old", oldSinceMs === null ? null : "");
    setText(this.events, locale.count(value("events_per_minute")?.value ?? 0));
    setText(this.active, locale.count(value("active_students")?.value ?? 0));
    setText(this.students, course.students === 0 ? "" : locale.say("of", { n: locale.count(course.students) }));
    const errors = value("error_rate");
    setText(this.errors, locale.rate(errors));
    const attempts = errors?.n ?? 0;
    setText(
      this.attempts,
      attempts === 0 ? locale.say("noAttempts") : locale.say("attempts", { n: locale.count(attempts) }),
    );
    const waiting = value("help_requests_open")?.value ?? 0;
    setText(this.waiting, locale.count(waiting));
    setAttribute(this.waitingStat, "data-any", waiting > 0 ? "" : null);

    const grouped = groups(state, course.courseId);
    const waiters = grouped.flatMap(({ name, students }) =>
      students.filter((student) => student.waiting).map((student) => ({ student, team: name ?? "" })),
    );
    this.nobody.hidden = waiters.length > 0;
    this.waiters.update(waiters);
    const time = state.eventNowMs(course.scope, nowMs);
    this.chart.update(course.name, this.page.series(course.scope).line(time.ms), time);
    this.teams.update(state.teamsOf(course.courseId));
    this.map.update(grouped);
  }
}

class WaiterView implements View<Waiter> {
  private readonly name = element("span");
  private readonly team = element("small");
  readonly root = element(
    "li",
    {},
    element("span", { class: "mark-waiting", "aria-hidden": "true" }),
    this.name,
    this.team,
  );

  update({ student, team }: Waiter): void {
    setText(this.name, student.name);
    setText(this.team, team);
  }
}

function figure(label: string, hint: string, value: HTMLElement, unit: HTMLElement | null = null): HTMLElement {
  const root = element("div", {}, element("dt", {}, label), element("dd", {}, value));
  if (unit !== null) root.append(element("dd", { class: "unit" }, unit));
  if (hint !== "") root.title = hint;
  return root;
}
