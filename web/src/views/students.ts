/** The students of a course as a map: a tile each, by team; state by shape, glyph and colour; details on demand. */

import type { Student } from "../api.ts";
import { element, KeyedList, setAttribute, setText, type View } from "../dom.ts";
import { presence, type Group, type Presence } from "../state.ts";
import type { Page } from "./page.ts";

const PRESENCES: readonly Presence[] = ["active", "idle", "waiting"];
const WORDS = { active: "active", idle: "idle", waiting: "isWaiting" } as const;
const BUSY = [1, 4] as const; // events a minute from which a disc is larger, and largest
const MOVES: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

export class StudentMap {
  readonly root: HTMLElement;
  private readonly counts = new Map<Presence, HTMLElement>();
  private readonly list: KeyedList<Group>;
  private readonly body = element("div", { class: "map" });

  private readonly page: Page;

  constructor(page: Page, heading: string = page.locale.texts.students) {
    this.page = page;
    const { texts } = page.locale;
    const legend = element("ul", { class: "legend" });
    for (const each of PRESENCES) {
      const count = element("b");
      this.counts.set(each, count);
      legend.append(
        element("li", { "data-state": each }, element("i", { "aria-hidden": "true" }), `${texts[WORDS[each]]} `, count),
      );
      if (each === "active") legend.lastElementChild?.setAttribute("title", texts.activeSizes);
    }
    this.list = new KeyedList(
      this.body,
      (group) => group.teamId ?? "",
      () => new GroupView(page),
    );
    this.root = element(
      "section",
      { class: "students" },
      element("div", { class: "students-head" }, element("h3", {}, heading), legend),
      this.body,
    );
    this.body.addEventListener("keydown", (event) => this.move(event));
    this.body.addEventListener("focusin", (event) => this.enter(event.target as HTMLElement));
  }

  update(groups: readonly Group[]): void {
    const students = groups.flatMap((group) => group.students);
    for (const [each, node] of this.counts) {
      setText(node, this.page.locale.count(students.filter((student) => presence(student) === each).length));
    }
    this.list.update(groups);
    // One stop for the Tab key a course; the arrows move within it.
    if (this.body.querySelector('[tabindex="0"]') === null) this.tiles()[0]?.setAttribute("tabindex", "0");
  }

  private tiles(): HTMLElement[] {
    return [...this.body.querySelectorAll<HTMLElement>(".tile")];
  }

  private enter(tile: HTMLElement): void {
    for (const each of this.body.querySelectorAll('[tabindex="0"]')) each.setAttribute("tabindex", "-1");
    tile.setAttribute("tabindex", "0");
  }

  private move(event: KeyboardEvent): void {
    const tiles = this.tiles();
    const at = tiles.indexOf(event.target as HTMLElement);
    const to = event.key === "Home" ? 0 : event.key === "End" ? tiles.length - 1 : at + (MOVES[event.key] ?? NaN);
    if (at < 0 || Number.isNaN(to)) return;
    event.preventDefault();
    tiles[Math.max(0, Math.min(tiles.length - 1, to))]?.focus();
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
    const name = group.name ?? this.page.locale.texts.noTeam;
    setText(this.name, name);
    setAttribute(this.name, "title", name);
    this.list.update(group.students);
  }
}

class Tile implements View<Student> {
  private readonly button: HTMLButtonElement;
  readonly root: HTMLElement;

  private readonly page: Page;
  private student: Student;

  constructor(page: Page, student: Student) {
    this.page = page;
    this.student = student;
    const mark = element("i", { "aria-hidden": "true" });
    this.button = element(
      "button",
      { type: "button", class: "tile", tabindex: "-1", "data-testid": student.scope },
      mark,
    );
    this.root = element("li", {}, this.button);
    const show = (): void => page.tip.show(this.button, this.lines());
    for (const event of ["pointerenter", "focus", "click"]) this.button.addEventListener(event, show);
    for (const event of ["pointerleave", "blur"]) this.button.addEventListener(event, () => page.tip.hide(this.button));
  }

  update(student: Student): void {
    this.student = student;
    const { texts } = this.page.locale;
    const state = presence(student);
    setAttribute(this.button, "data-state", state);
    const events = this.page.state.value(student.scope, "events_per_minute")?.value ?? 0;
    const level = BUSY.filter((least) => events >= least).length;
    setAttribute(this.button, "data-level", state === "active" ? String(level) : null);
    setAttribute(this.button, "data-off-roster", student.onRoster ? null : "");
    const words = [student.name, texts[WORDS[state]], ...(student.onRoster ? [] : [texts.notOnRoster])];
    setAttribute(this.button, "aria-label", words.join(", "));
    if (!this.root.isConnected) return;
    this.page.tip.renew(this.button, () => this.lines());
  }

  /** What the tip says: the name first. */
  private lines(): string[] {
    const { locale, state } = this.page;
    const { texts } = locale;
    const { student } = this;
    const seen = student.lastSeenMs;
    const ago = seen === null ? null : locale.ago(state.ageMs(seen, this.page.nowMs()));
    const events = state.value(student.scope, "events_per_minute")?.value ?? 0;
    const errors = locale.rate(state.value(student.scope, "error_rate"));
    return [
      student.name,
      [student.studentId, texts[WORDS[presence(student)]], ...(student.onRoster ? [] : [texts.notOnRoster])].join(
        " · ",
      ),
      ago === null ? texts.neverSeen : locale.say("lastSeen", { ago }),
      `${texts.eventsPerMinute}: ${locale.count(events)} · ${texts.errorRate}: ${errors}`,
    ];
  }
}
