/** How the connection is, how old the newest data is, and how fast events come. */

import { element, setAttribute, setText } from "../dom.ts";
import { isLongAgo } from "../freshness.ts";
import type { Locale } from "../i18n.ts";
import type { Latency } from "../latency.ts";
import { explainedLatency } from "../numbers.ts";
import type { Condition, State } from "../state.ts";
import type { Page } from "./page.ts";

const GLYPHS: Readonly<Record<Condition, string>> = {
  connecting: "◌",
  live: "●",
  old: "◔",
  stale: "❚❚",
  lost: "▲",
};

export class ConnectionView {
  readonly root: HTMLElement;
  /** What is wrong, in a sentence. */
  readonly notice = element("p", { class: "notice", "data-testid": "notice" });
  private readonly glyph = element("span", { class: "glyph-connection", "aria-hidden": "true" });
  private readonly words = element("span", { role: "status" });
  private readonly countdown = element("span", { class: "countdown", "aria-hidden": "true" });
  private readonly connection: HTMLElement;
  private readonly age = element("span", { class: "age", "data-testid": "data-age" });
  private readonly latency = element("button", { type: "button", class: "latency", "data-testid": "latency", hidden: "" });

  private readonly locale: Locale;

  constructor(page: Page) {
    this.locale = page.locale;
    this.connection = element(
      "span",
      { class: "connection", "data-testid": "connection" },
      this.glyph,
      this.words,
      this.countdown,
    );
    page.tip.explain(this.latency, () => explainedLatency(page.locale, page.state.clockDoubtMs));
    this.root = element("div", { class: "state-lines" }, this.connection, this.age, this.latency);
  }

  update(state: State, latency: Latency | null, nowMs: number): void {
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
    this.latency.hidden = latency === null;
    if (latency === null) return;
    const { halfMs, mostMs } = latency;
    setText(this.latency, locale.say("latencyShort", { half: locale.moment(halfMs), most: locale.moment(mostMs) }));
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
