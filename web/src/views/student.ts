/** One student: how he is now, his day in numbers, and his timeline since the day began. */

import type { Student } from "../api.ts";
import { Chart } from "../chart.ts";
import { dayStartMs, drawnFromMs, lineOf } from "../day.ts";
import { element, setAttribute, setText } from "../dom.ts";
import type { Explained } from "../i18n.ts";
import { presence } from "../people.ts";
import { format } from "../route.ts";
import { Kinds } from "./kinds.ts";
import type { Main, Page } from "./page.ts";
import { Sessions } from "./sessions.ts";
import { WORDS } from "./students.ts";
import { Figure, Figures } from "./value.ts";

const CHART_PX = 180;
const NOW: readonly Explained[] = ["events_per_minute", "error_rate"];
const TODAY: readonly Explained[] = [
  "sessions",
  "active_s",
  "task_progress",
  "attempts_per_task",
  "time_on_task_s",
  "score_mean",
  "events_per_day",
];

export class StudentView implements Main {
  readonly root: HTMLElement;
  private readonly heading = element("h1", { class: "view-title", tabindex: "-1" });
  private readonly id = element("code");
  private readonly mark = element("i", { class: "glyph", "aria-hidden": "true" });
  private readonly words = element("span");
  private readonly seen = element("span", { class: "note" });
  private readonly places = element("ul", { class: "places" });
  private readonly badge: HTMLElement;
  private readonly now: Figures;
  private readonly today: Figures;
  private readonly chart: Chart;
  private readonly sessions: Sessions;
  private readonly kinds: Kinds;
  private readonly dayNote = element("p", { class: "note" });

  private readonly page: Page;
  private readonly studentId: string;

  constructor(page: Page, student: Student) {
    this.page = page;
    this.studentId = student.studentId;
    const { locale } = page;
    const { texts } = locale;
    const { scope } = student;
    const figure = (name: Explained): Figure =>
      new Figure(page, name === "task_progress" ? { name, scope, field: "task_progress:median" } : { name, scope });
    this.badge = element("span", { class: "badge" }, texts.notOnRoster);
    this.now = new Figures(NOW.map(figure));
    this.today = new Figures(TODAY.map(figure));
    this.chart = new Chart(locale, { metric: "events_per_minute", heightPx: CHART_PX, floor: 10 });
    this.sessions = new Sessions(locale);
    this.kinds = new Kinds(locale);
    const state = element("p", { class: "presence", "data-testid": `${scope}:presence` }, this.mark, this.words);
    this.root = element(
      "div",
      { class: "view", "data-testid": scope },
      element("div", { class: "course-head" }, this.heading, this.badge, this.id),
      this.places,
      element(
        "div",
        { class: "columns" },
        element("section", { class: "card column" }, element("h2", {}, texts.nowTitle), state, this.seen, this.now.root),
        element(
          "section",
          { class: "card column wide" },
          element("h2", {}, texts.today),
          this.today.root,
          this.dayNote,
        ),
      ),
      element(
        "section",
        { class: "card" },
        element("h2", {}, texts.sessions),
        this.sessions.root,
        this.chart.root,
        element("p", { class: "note" }, texts.sessionsTruth),
      ),
      this.kinds.root,
    );
  }

  title(): string {
    const { student } = this;
    return student === undefined ? this.studentId : this.page.names.of(student, this.page.locale);
  }

  destroy(): void {
    this.chart.destroy();
  }

  update(): void {
    const { state, locale, names } = this.page;
    const { student } = this;
    if (student === undefined) return;
    const name = names.of(student, locale);
    setText(this.heading, name);
    setText(this.id, names.idOf(student));
    this.badge.hidden = student.onRoster;
    const presently = presence(student);
    setAttribute(this.mark, "data-presence", presently);
    const waitS = student.waiting ? student.waitingS : null;
    const words = locale.texts[WORDS[presently]];
    setText(this.words, waitS === null ? words : `${words} ${locale.length(waitS)}`);
    const nowMs = this.page.nowMs();
    const { lastSeenMs } = student;
    setText(
      this.seen,
      lastSeenMs === null ? locale.say("neverSeen") : locale.say("lastSeen", { ago: locale.ago(state.ageMs(lastSeenMs, nowMs)) }),
    );
    this.showPlaces(student);
    this.now.update();
    this.today.update();
    const { ms } = state.eventNowMs(student.scope, nowMs);
    setText(this.dayNote, locale.say("todayFrom", { time: locale.hourMinute(dayStartMs(ms)) }));
    const day = this.page.day() ?? [];
    const span = { fromMs: drawnFromMs(day, ms), toMs: ms };
    this.sessions.update(day, span, this.page.day() !== null);
    this.chart.update(name, locale.say("chartDay", { time: locale.hourMinute(span.fromMs) }), lineOf(day, ms), span);
    this.kinds.update(state.labelled(student.scope, "events_by_kind"));
  }

  /** His courses and teams. */
  private showPlaces(student: Student): void {
    const { state } = this.page;
    const places = student.enrolments.map(({ courseId, teamId }) => {
      const team = state.teamsOf(courseId).find((each) => each.teamId === teamId)?.name ?? teamId ?? "";
      return { courseId, course: state.course(courseId)?.name ?? courseId, team };
    });
    const key = JSON.stringify(places);
    if (this.places.dataset.key === key) return;
    this.places.dataset.key = key; // links keep the focus while they stay
    this.places.replaceChildren(
      ...places.map(({ courseId, course, team }) => {
        const link = element("a", { href: format({ view: "course", id: courseId }) }, course);
        return element("li", {}, link, team === "" ? "" : ` · ${team}`);
      }),
    );
  }

  private get student(): Student | undefined {
    return this.page.state.student(this.studentId);
  }
}
