/** One course: its numbers, its students, who waits for help, the last half hour, how far they are, its teams. */

import type { Course } from "../api.ts";
import { element } from "../dom.ts";
import { groups } from "../people.ts";
import { figuresOf } from "./figures.ts";
import { CHARTED, HalfHour } from "./half_hour.ts";
import { Heading } from "./heading.ts";
import type { Main, Page } from "./page.ts";
import { Progress } from "./progress.ts";
import { Queue } from "./queue.ts";
import { StudentMap } from "./students.ts";
import { TeamTable } from "./teams.ts";
import type { Figures } from "./value.ts";

const CHART_PX = 120;

export class CourseView implements Main {
  readonly root: HTMLElement;
  private readonly heading: Heading;
  private readonly figures: Figures;
  private readonly map: StudentMap;
  private readonly queue: Queue;
  private readonly charts: readonly HalfHour[];
  private readonly progress: Progress;
  private readonly teams: TeamTable;

  private readonly page: Page;
  private readonly courseId: string;

  constructor(page: Page, course: Course) {
    this.page = page;
    this.courseId = course.courseId;
    const { texts } = page.locale;
    const { scope } = course;
    this.heading = new Heading(page, course, false);
    this.figures = figuresOf(
      page,
      scope,
      () => this.course,
      [
        "active_students",
        "present_students",
        "idle_students",
        "struggling_students",
        "help_requests_open",
        "error_rate",
        "events_per_minute",
      ],
      "figures large",
    );
    this.map = new StudentMap(page);
    this.queue = new Queue(page, course.courseId);
    this.charts = CHARTED.map((metric) => new HalfHour(page, metric, CHART_PX));
    this.progress = new Progress(page, scope);
    this.teams = new TeamTable(page);
    const charts = element("section", { class: "card charts" }, element("h3", {}, texts.charts));
    charts.append(...this.charts.map((chart) => chart.root));
    this.root = element(
      "div",
      { class: "view", "data-testid": scope },
      this.heading.root,
      element("section", { class: "card", "aria-label": course.name }, this.figures.root),
      element(
        "div",
        { class: "columns" },
        element("div", { class: "column wide" }, this.map.root, this.teams.root),
        element("div", { class: "column" }, this.queue.root, this.progress.root, charts),
      ),
    );
  }

  title(): string {
    return this.course?.name ?? this.courseId;
  }

  destroy(): void {
    for (const chart of this.charts) chart.destroy();
  }

  update(): void {
    const { state } = this.page;
    const { course } = this;
    if (course === undefined) return; // gone from the roster: what was known stays
    this.heading.update(course, this.root);
    this.figures.update();
    this.map.update(groups(state, this.courseId));
    this.queue.update();
    for (const chart of this.charts) chart.update(course);
    this.progress.update();
    this.teams.update(state.teamsOf(this.courseId));
  }

  private get course(): Course | undefined {
    return this.page.state.course(this.courseId);
  }
}
