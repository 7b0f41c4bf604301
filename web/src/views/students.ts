/** The students as a map: each in the same place all the time, by team; state by shape, glyph, colour and words. */

import type { Student } from "../api.ts";
import { element, KeyedList, setAttribute, setText, type View } from "../dom.ts";
import { presence, PRESENCES, type Group, type Presence } from "../people.ts";
import { format } from "../route.ts";
import { Roving } from "../roving.ts";
import type { Page } from "./page.ts";

export const WORDS = {
  waiting: "isWaiting",
  struggling: "isStruggling",
  active: "active",
  idle: "idle",
  away: "away",
} as const;

export class StudentMap {
  readonly root: HTMLElement;
  readonly heading: HTMLElement;
  private readonly counts = new Map<Presence, { readonly count: HTMLElement; readonly button: HTMLButtonElement }>();
  private readonly list: KeyedList<Group>;
  private readonly nobody: HTMLElement;
  private readonly roving: Roving;
  private only: Presence | null = null;
  private groups: readonly Group[] = [];

  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    const { locale } = page;
    const legend = element("ul", { class: "legend" });
    for (const each of PRESENCES) {
      const count = element("b", { "data-testid": `count:${each}` });
      const mark = element("i", { class: "glyph", "data-presence": each, "aria-hidden": "true" });
      const word = locale.texts[WORDS[each]];
      const button = element("button", { type: "button", "aria-pressed": "false" }, mark, `${word} `, count);
      button.title = locale.say("showOnly", { state: word });
      button.addEventListener("click", () => this.filter(this.only === each ? null : each));
      this.counts.set(each, { count, button });
      legend.append(element("li", {}, button));
    }
    const body = element("div", { class: "map" });
    this.roving = new Roving(body, "a");
    this.list = new KeyedList(
      body,
      (group) => group.teamId ?? "",
      () => new GroupView(page),
    );
    this.nobody = element("p", { class: "nobody", hidden: "" }, locale.texts.nobodyThere);
    this.heading = element("h3", {}, locale.texts.students);
    this.root = element(
      "section",
      { class: "card students" },
      element("div", { class: "students-head" }, this.heading, legend),
      body,
      this.nobody,
    );
  }

  update(groups: readonly Group[]): void {
    this.groups = groups;
    const students = groups.flatMap((group) => group.students);
    for (const [each, { count }] of this.counts) {
      setText(count, this.page.locale.count(students.filter((student) => presence(student) === each).length));
    }
    const { only } = this;
    const shown = groups
      .map((group) => ({
        ...group,
        students: group.students.filter((student) => only === null || presence(student) === only),
      }))
      .filter((group) => group.students.length > 0);
    this.nobody.hidden = shown.length > 0;
    this.list.update(shown);
    this.roving.renew();
  }

  private filter(only: Presence | null): void {
    this.only = only;
    for (const [each, { button }] of this.counts) button.setAttribute("aria-pressed", String(each === only));
    this.update(this.groups);
  }
}

class GroupView implements View<Group> {
  private readonly name = element("h4");
  private readonly list: KeyedList<Student>;
  readonly root: HTMLElement;

  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    const tiles = element("ul", { class: "tiles" });
    this.list = new KeyedList(
      tiles,
      (student) => student.scope,
      (student) => new Tile(page, student),
    );
    this.root = element("div", { class: "group" }, this.name, tiles);
  }

  update(group: Group): void {
    setText(this.name, group.name ?? this.page.locale.texts.noTeam);
    this.list.update(group.students);
  }
}

class Tile implements View<Student> {
  private readonly name = element("span", { class: "name" });
  private readonly mark = element("i", { class: "glyph", "aria-hidden": "true" });
  private readonly how = element("span", { class: "unseen" });
  private readonly since = element("small");
  private readonly rest = element("span", { class: "unseen" });
  private readonly link: HTMLAnchorElement;
  readonly root: HTMLElement;

  private readonly page: Page;
  private student: Student;

  constructor(page: Page, student: Student) {
    this.page = page;
    this.student = student;
    this.link = element(
      "a",
      { class: "tile", tabindex: "-1", "data-testid": student.scope },
      this.mark,
      this.name,
      this.how,
      this.since,
      this.rest,
    );
    this.root = element("li", {}, this.link);
    page.tip.explain(this.link, () => this.lines());
  }

  update(student: Student): void {
    this.student = student;
    const { locale, names } = this.page;
    const state = presence(student);
    setAttribute(this.link, "data-state", state);
    setAttribute(this.mark, "data-presence", state);
    setAttribute(this.link, "data-off-roster", student.onRoster ? null : "");
    setAttribute(this.link, "href", format({ view: "student", id: names.addressOf(student.studentId) }));
    setText(this.name, names.of(student, locale));
    setText(this.how, `, ${locale.texts[WORDS[state]]}`);
    setText(this.since, this.sinceWhen());
    setText(this.rest, this.more().map((words) => `, ${words}`).join(""));
    this.page.tip.renew(this.link);
  }

  /** For how long he waits, or is quiet. */
  private sinceWhen(): string {
    const { student } = this;
    const { state, locale } = this.page;
    if (student.waiting) return student.waitingS === null ? "" : locale.length(student.waitingS);
    if (presence(student) !== "idle" || student.lastSeenMs === null) return "";
    return locale.length(state.ageMs(student.lastSeenMs, this.page.nowMs()) / 1000);
  }

  /** What else is to be said of him. */
  private more(): string[] {
    const { student } = this;
    const { texts } = this.page.locale;
    return [
      ...(student.struggling && presence(student) !== "struggling" ? [texts.isStruggling] : []),
      ...(student.onRoster ? [] : [texts.notOnRoster]),
    ];
  }

  /** What the note says: the name first. */
  private lines(): string[] {
    const { locale, state, names } = this.page;
    const { student } = this;
    const seen = student.lastSeenMs;
    const events = state.value(student.scope, "events_per_minute")?.value ?? 0;
    const errors = locale.rate(state.value(student.scope, "error_rate"));
    return [
      names.of(student, locale),
      [names.idOf(student), `${locale.texts[WORDS[presence(student)]]} ${this.sinceWhen()}`.trim(), ...this.more()]
        .filter((word) => word !== "")
        .join(" · "),
      seen === null
        ? locale.say("neverSeen")
        : locale.say("lastSeen", { ago: locale.ago(state.ageMs(seen, this.page.nowMs())) }),
      `${locale.metrics.events_per_minute.label}: ${locale.count(events)} · ${locale.metrics.error_rate.label}: ${errors}`,
    ];
  }
}
