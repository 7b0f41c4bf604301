/** The teams of a course, a row each: how busy beside the others, how many are there, how it goes, who waits. */

import type { Team } from "../api.ts";
import { element, KeyedList, setAttribute, setText, type View } from "../dom.ts";
import type { Metric } from "../frames.ts";
import type { Page } from "./page.ts";

const FLOOR = 10; // events a minute that fill a bar at least: one event must not look like a storm
const FEW = 5; // attempts; a rate of fewer is shown, but paler

export class TeamTable {
  readonly root: HTMLElement;
  private readonly rows: KeyedList<Team>;
  /** Bars compare teams of all courses, so they share one scale. */
  private busiest = FLOOR;

  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    const { texts } = page.locale;
    const body = element("tbody");
    this.rows = new KeyedList(
      body,
      (team) => team.scope,
      (team) => new TeamRow(page, team, () => this.busiest),
    );
    const column = (label: string, hint = ""): HTMLElement => element("th", { scope: "col", title: hint }, label);
    this.root = element(
      "table",
      { class: "teams", "aria-label": texts.teams },
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          column(texts.team),
          column(texts.eventsPerMinute, texts.eventsPerMinuteHint),
          column(texts.activeStudents, texts.activeNowHint),
          column(texts.errorRateShort, texts.errorRateHint),
          column(texts.waitingShort, texts.waiting),
        ),
      ),
      body,
    );
  }

  update(teams: readonly Team[]): void {
    const { state } = this.page;
    this.root.hidden = teams.length === 0;
    const all = state.overview?.teams ?? [];
    this.busiest = Math.max(FLOOR, ...all.map((team) => state.value(team.scope, "events_per_minute")?.value ?? 0));
    this.rows.update(teams);
  }
}

class TeamRow implements View<Team> {
  readonly root: HTMLElement;
  private readonly name = element("span", { class: "team-name" });
  private readonly bar = element("span", { class: "bar-fill" });
  private readonly events: HTMLElement;
  private readonly active: HTMLElement;
  private readonly students = element("small");
  private readonly errors: HTMLElement;
  private readonly waiting: HTMLElement;

  private readonly page: Page;
  private readonly busiest: () => number;

  constructor(page: Page, team: Team, busiest: () => number) {
    this.page = page;
    this.busiest = busiest;
    const value = (metric: Metric): HTMLElement => element("span", { "data-testid": `${team.scope}:${metric}` });
    this.events = value("events_per_minute");
    this.active = value("active_students");
    this.errors = value("error_rate");
    this.waiting = value("help_requests_open");
    const bar = element("span", { class: "bar", "aria-hidden": "true" }, this.bar);
    this.root = element(
      "tr",
      {},
      element("th", { scope: "row" }, this.name),
      element("td", { class: "busy" }, element("div", {}, bar, this.events)),
      element("td", {}, this.active, this.students),
      element("td", {}, this.errors),
      element("td", {}, this.waiting),
    );
  }

  update(team: Team): void {
    const { state, locale } = this.page;
    const value = (metric: Metric) => state.value(team.scope, metric);
    const events = value("events_per_minute")?.value ?? 0;
    const errors = value("error_rate");
    const waiting = value("help_requests_open")?.value ?? 0;
    setText(this.name, team.name);
    setAttribute(this.name, "title", team.onRoster ? team.name : `${team.name} · ${locale.texts.notOnRoster}`);
    setAttribute(this.root, "data-off-roster", team.onRoster ? null : "");
    this.bar.style.transform = `scaleX(${Math.min(1, events / this.busiest()).toFixed(3)})`;
    setText(this.events, locale.count(events));
    setText(this.active, locale.count(value("active_students")?.value ?? 0));
    setText(this.students, team.students === 0 ? "" : ` / ${locale.count(team.students)}`);
    setText(this.errors, locale.rate(errors));
    setAttribute(this.errors, "title", locale.say("attempts", { n: locale.count(errors?.n ?? 0) }));
    setAttribute(this.errors, "data-few", (errors?.n ?? 0) < FEW ? "" : null);
    setText(this.waiting, waiting > 0 ? locale.count(waiting) : "·");
    setAttribute(this.waiting, "class", waiting > 0 ? "some-waiting" : "none-waiting");
  }
}
