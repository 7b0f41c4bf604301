/** The top of the page: the school in four numbers, how the connection is, how old the data is, the language. */

import { element, setAttribute, setText } from "../dom.ts";
import { LANGUAGES, type Language, type Locale } from "../i18n.ts";
import { isLongAgo } from "../freshness.ts";
import { totals, type Condition, type State } from "../state.ts";

const GLYPHS: Readonly<Record<Condition, string>> = {
  connecting: "◌",
  live: "●",
  old: "◔",
  stale: "❚❚",
  lost: "▲",
};

export class Header {
  readonly root: HTMLElement;
  readonly notice = element("p", { class: "notice", "data-testid": "notice" });
  private readonly active = element("strong", { "data-testid": "school:active" });
  private readonly students = element("small");
  private readonly events = element("strong", { "data-testid": "school:events_per_minute" });
  private readonly waiting = element("strong", { "data-testid": "school:waiting" });
  private readonly waitingStat: HTMLElement;
  private readonly glyph = element("span", { class: "glyph", "aria-hidden": "true" });
  private readonly words = element("span", { role: "status" });
  private readonly countdown = element("span", { class: "countdown", "aria-hidden": "true" });
  private readonly connection: HTMLElement;
  private readonly age = element("span", { class: "age", "data-testid": "data-age" });

  private readonly locale: Locale;

  constructor(locale: Locale, choose: (language: Language) => void) {
    this.locale = locale;
    const { texts } = locale;
    this.waitingStat = stat(texts.waiting, this.waiting);
    this.connection = element(
      "span",
      { class: "connection", "data-testid": "connection" },
      this.glyph,
      this.words,
      this.countdown,
    );
    const switches = LANGUAGES.map(({ code, name }) => {
      const pressed = String(code === locale.language);
      const button = element(
        "button",
        { type: "button", lang: code, "aria-pressed": pressed, "data-testid": `language:${code}` },
        name,
      );
      button.addEventListener("click", () => choose(code));
      return button;
    });
    this.root = element(
      "header",
      { class: "top" },
      element(
        "div",
        { class: "brand" },
        element("span", { class: "mark", "aria-hidden": "true" }),
        element("div", {}, element("h1", {}, "ClassPulse"), element("p", {}, texts.tagline)),
      ),
      element(
        "dl",
        { class: "totals" },
        stat(texts.activeNow, this.active, this.students, texts.activeNowHint),
        stat(texts.eventsPerMinute, this.events, null, texts.eventsPerMinuteHint),
        this.waitingStat,
      ),
      element(
        "div",
        { class: "state" },
        element("div", { class: "state-lines" }, this.connection, this.age),
        element("div", { class: "languages", role: "group", "aria-label": texts.language }, ...switches),
      ),
    );
  }

  update(state: State, nowMs: number): void {
    const { locale } = this;
    const known = state.overview !== null;
    const { active, students, eventsPerMinute, waiting } = totals(state);
    setText(this.active, known ? locale.count(active) : "–");
    setText(this.students, known ? locale.say("of", { n: locale.count(students) }) : "");
    setText(this.events, known ? locale.count(eventsPerMinute) : "–");
    setText(this.waiting, known ? locale.count(waiting) : "–");
    setAttribute(this.waitingStat, "data-any", waiting > 0 ? "" : null);
    this.say(state, nowMs);
  }

  private say(state: State, nowMs: number): void {
    const { locale } = this;
    const { connection } = state;
    const condition = state.condition(nowMs);
    setAttribute(this.connection, "data-state", condition);
    setText(this.glyph, GLYPHS[condition]);
    setText(this.words, locale.say(condition));
    let countdown = "";
    if (connection.kind === "lost") {
      const seconds = Math.ceil((connection.retryAtMs - nowMs) / 1000);
      countdown = seconds > 0 ? locale.say("retryIn", { seconds }) : locale.say("retrying");
    }
    setText(this.countdown, countdown);
    const notice = this.noticeOf(state, nowMs);
    setText(this.notice, notice);
    this.notice.hidden = notice === "";
    this.sayAge(state, nowMs, condition);
  }

  private noticeOf(state: State, nowMs: number): string {
    const { locale } = this;
    const { connection } = state;
    if (connection.kind === "lost") return locale.say("lostNotice", { time: locale.time(connection.sinceMs) });
    if (connection.kind === "stale") return locale.say("staleNotice", { time: locale.time(connection.sinceMs) });
    const oldSinceMs = oldest(state, nowMs);
    if (oldSinceMs !== null) {
      const courses = locale.list(state.oldCourses(nowMs).map(({ name }) => name));
      return locale.say("oldNotice", { time: locale.time(oldSinceMs), courses });
    }
    const studentsSinceMs = state.studentsOldSinceMs(nowMs);
    return studentsSinceMs === null ? "" : locale.say("studentsOldNotice", { time: locale.time(studentsSinceMs) });
  }

  /** The newest data's age, or its date where it is of another day; while something is old, how long that has been. */
  private sayAge(state: State, nowMs: number, condition: Condition): void {
    const { locale } = this;
    const { asOfMs } = state;
    const oldSinceMs = oldest(state, nowMs);
    const ageMs = asOfMs === null ? null : state.ageMs(asOfMs, nowMs);
    let age = locale.say("noData");
    if (oldSinceMs !== null) age = locale.say("dataOld", { ago: locale.ago(nowMs - oldSinceMs) });
    else if (asOfMs !== null && ageMs !== null) {
      if (isLongAgo(ageMs)) age = locale.say("dataOf", { time: locale.dateTime(asOfMs) });
      else age = locale.say("dataAge", { ago: locale.ago(ageMs) });
    }
    setText(this.age, age);
    setAttribute(this.age, "data-seconds", ageMs === null ? null : String(Math.round(ageMs / 1000)));
    const alarming = condition === "stale" || condition === "lost" || oldSinceMs !== null;
    setAttribute(this.age, "data-old", alarming ? "" : null);
  }
}

/** Since when the course that has waited longest for new values has had none. */
function oldest(state: State, nowMs: number): number | null {
  const since = state.oldCourses(nowMs).flatMap(({ scope }) => state.oldSinceMs(scope, nowMs) ?? []);
  return since.length === 0 ? null : Math.min(...since);
}

function stat(label: string, value: HTMLElement, unit: HTMLElement | null = null, hint = ""): HTMLElement {
  const number = element("dd", {}, value);
  if (unit !== null) number.append(" ", unit);
  const root = element("div", {}, element("dt", {}, label), number);
  if (hint !== "") root.title = hint;
  return root;
}
