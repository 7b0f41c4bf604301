/** A course, or the school, for a projected screen: large, few numbers, nobody's name. */

import { element, setText } from "../dom.ts";
import { figuresOf } from "./figures.ts";
import type { Main, Page } from "./page.ts";
import { SCHOOL } from "./school.ts";
import type { Figures } from "./value.ts";

export class ProjectorView implements Main {
  readonly root: HTMLElement;
  private readonly heading = element("h1", { class: "view-title", tabindex: "-1" });
  private readonly clock = element("p", { class: "clock" });
  private readonly figures: Figures;

  private readonly page: Page;
  private readonly courseId: string | null;

  /** `courseId` null: the school. */
  constructor(page: Page, courseId: string | null) {
    this.page = page;
    this.courseId = courseId;
    const { state } = page;
    const scope = courseId === null ? SCHOOL : `course:${courseId}`;
    const of = () => (courseId === null ? (state.overview?.school ?? undefined) : state.course(courseId));
    this.figures = figuresOf(page, scope, of, ["active_students", "help_requests_open", "events_per_minute"], "giant");
    this.root = element("div", { class: "view projector", "data-testid": "view:projector" });
    this.root.append(element("div", { class: "projector-head" }, this.heading, this.clock), this.figures.root);
  }

  title(): string {
    if (this.courseId === null) return this.page.locale.texts.school;
    return this.page.state.course(this.courseId)?.name ?? this.courseId;
  }

  update(): void {
    const { state, locale } = this.page;
    setText(this.heading, this.title());
    setText(this.clock, locale.hourMinute(this.page.nowMs() + state.clockAheadMs));
    this.figures.update();
  }

  destroy(): void {
    // Nothing is held.
  }
}
