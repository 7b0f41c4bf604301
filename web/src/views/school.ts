/** The school at one glance: its numbers, a card for each course, and the students whom no course holds. */

import type { Course } from "../api.ts";
import { element, KeyedList, setText, type View } from "../dom.ts";
import { strays } from "../people.ts";
import { figuresOf } from "./figures.ts";
import { CHARTED, HalfHour } from "./half_hour.ts";
import { Heading } from "./heading.ts";
import type { Main, Page } from "./page.ts";
import { StudentMap } from "./students.ts";
import type { Figures } from "./value.ts";

export const SCHOOL = "school:all";
const CHART_PX = 110;

export class SchoolView implements Main {
  readonly root: HTMLElement;
  private readonly figures: Figures;
  private readonly views = new Map<string, CourseCard>();
  private readonly whole: HTMLElement;
  private readonly courses: KeyedList<Course>;
  private readonly others: StudentMap;
  private readonly empty: HTMLElement;
  private readonly emptyTitle = element("h2");
  private readonly emptyHint = element("p");

  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    const { texts } = page.locale;
    this.figures = figuresOf(
      page,
      SCHOOL,
      () => page.state.overview?.school ?? undefined,
      ["active_students", "present_students", "idle_students", "struggling_students", "help_requests_open", "events_per_minute"],
      "figures large",
    );
    this.whole = element("section", { class: "card", "aria-label": texts.school }, this.figures.root);
    const grid = element("div", { class: "courses" });
    this.courses = new KeyedList(
      grid,
      (course) => course.scope,
      (course) => {
        const view = new CourseCard(page, course);
        this.views.set(course.scope, view);
        return view;
      },
    );
    this.others = new StudentMap(page);
    this.empty = element("div", { class: "empty" }, this.emptyTitle, this.emptyHint);
    this.root = element(
      "div",
      { class: "view", "data-testid": "view:school" },
      element("h1", { class: "view-title", tabindex: "-1" }, texts.school),
      this.empty,
      this.whole,
      grid,
      this.others.root,
    );
  }

  title(): string {
    return this.page.locale.texts.school;
  }

  destroy(): void {
    for (const view of this.views.values()) view.destroy();
  }

  update(): void {
    const { state, locale } = this.page;
    this.whole.hidden = state.overview?.school === null;
    this.figures.update();
    this.courses.update(state.courses);
    for (const [scope, view] of this.views) {
      if (view.root.isConnected || !this.root.isConnected) continue;
      view.destroy();
      this.views.delete(scope);
    }
    const elsewhere = strays(state);
    this.others.root.hidden = elsewhere.length === 0;
    this.others.update([{ teamId: null, name: null, students: elsewhere }]);
    // Who sees some teams only, or himself, sees none of their courses.
    const some = state.overview?.school === null;
    setText(this.others.heading, some ? locale.texts.students : locale.texts.elsewhere);
    this.empty.hidden = state.courses.length > 0 || (some && elsewhere.length > 0);
    setText(this.emptyTitle, state.overview === null ? locale.texts.loading : locale.texts.empty);
    setText(this.emptyHint, state.overview === null ? "" : locale.texts.emptyHint);
  }
}

class CourseCard implements View<Course> {
  readonly root: HTMLElement;
  private readonly heading: Heading;
  private readonly figures: Figures;
  private readonly chart: HalfHour;

  constructor(page: Page, course: Course) {
    this.heading = new Heading(page, course, true);
    const now = (): Course | undefined => page.state.course(course.courseId);
    this.figures = figuresOf(page, course.scope, now, [
      "active_students",
      "present_students",
      "idle_students",
      "struggling_students",
      "help_requests_open",
      "events_per_minute",
    ]);
    this.chart = new HalfHour(page, CHARTED[0] ?? "events_per_minute", CHART_PX);
    this.root = element(
      "article",
      { class: "card", "data-testid": course.scope },
      this.heading.root,
      this.figures.root,
      this.chart.root,
    );
  }

  destroy(): void {
    this.chart.destroy();
  }

  update(course: Course): void {
    this.heading.update(course, this.root);
    this.figures.update();
    this.chart.update(course);
  }
}
