/** A course's name, with whether it is on the roster, and whether its numbers are old. */

import type { Course } from "../api.ts";
import { element, setAttribute, setText } from "../dom.ts";
import { format } from "../route.ts";
import type { Page } from "./page.ts";

export class Heading {
  readonly root: HTMLElement;
  private readonly name: HTMLElement;
  private readonly badge: HTMLElement;
  private readonly old: HTMLElement;

  private readonly page: Page;

  /** `linked`: one of many, and its name leads to the course; otherwise it is the view's own heading. */
  constructor(page: Page, course: Course, linked: boolean) {
    this.page = page;
    this.name = linked ? element("a", { href: format({ view: "course", id: course.courseId }) }) : element("span");
    const heading = linked
      ? element("h2", {}, this.name)
      : element("h1", { class: "view-title", tabindex: "-1" }, this.name);
    this.badge = element("span", { class: "badge" }, page.locale.texts.notOnRoster);
    this.old = element("span", { class: "old", "data-testid": `${course.scope}:old` });
    const code = element("code", {}, course.courseId);
    this.root = element("div", { class: "course-head" }, heading, this.badge, this.old, code);
  }

  /** `card`: what is paler while the numbers are old. */
  update(course: Course, card: HTMLElement): void {
    const { state, locale } = this.page;
    const nowMs = this.page.nowMs();
    setText(this.name, course.name);
    this.badge.hidden = course.onRoster;
    const sinceMs = state.oldSinceMs(course.scope, nowMs);
    this.old.hidden = sinceMs === null;
    setText(this.old, sinceMs === null ? "" : locale.say("oldCourse", { ago: locale.ago(nowMs - sinceMs) }));
    setAttribute(card, "data-old", sinceMs === null ? null : "");
  }
}
