/** The teams of a course, a row each: how busy beside the others, how far, how well, how evenly, who waits. */

import type { Team } from "../api.ts";
import { element, KeyedList, setAttribute, setText, type View } from "../dom.ts";
import type { Explained } from "../i18n.ts";
import { Roving } from "../roving.ts";
import type { Page } from "./page.ts";
import { Value } from "./value.ts";

const FLOOR = 10; // events a minute that fill a bar at least: one event must not look like a storm
const FEW = 5; // attempts; a rate of fewer is shown, but paler

interface Column {
  readonly name: Explained;
  readonly field?: string;
  readonly bar?: "busy" | "share";
}

const COLUMNS: readonly Column[] = [
  { name: "events_per_minute", bar: "busy" },
  { name: "active_students" },
  { name: "task_progress", field: "task_progress:median" },
  { name: "participation_balance", bar: "share" },
  { name: "team_score" },
  { name: "error_rate" },
  { name: "struggling_students" },
  { name: "help_requests_open" },
];

export class TeamTable {
  readonly root: HTMLElement;
  private readonly rows: KeyedList<Team>;
  private readonly roving: Roving;
  /** Bars compare teams of all courses, so they share one scale. */
  private busiest = FLOOR;

  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    const { locale } = page;
    const body = element("tbody", { role: "rowgroup" });
    this.roving = new Roving(body, "button");
    this.rows = new KeyedList(
      body,
      (team) => team.scope,
      (team) => new TeamRow(page, team, () => this.busiest),
    );
    // Roles are told, because a narrow screen shows the rows as blocks, which would take them away.
    const column = (label: string): HTMLElement => element("th", { scope: "col", role: "columnheader" }, label);
    const head = element("tr", { role: "row" }, column(locale.texts.team));
    for (const { name } of COLUMNS) head.append(column(locale.metrics[name].short));
    head.append(column(locale.texts.ages));
    this.root = element(
      "section",
      { class: "card" },
      element("h3", {}, locale.texts.teams),
      element(
        "table",
        { class: "teams", role: "table", "aria-label": locale.texts.teams },
        element("thead", { role: "rowgroup" }, head),
        body,
      ),
    );
  }

  update(teams: readonly Team[]): void {
    const { state } = this.page;
    this.root.hidden = teams.length === 0;
    const all = state.overview?.teams ?? [];
    this.busiest = Math.max(FLOOR, ...all.map((team) => state.value(team.scope, "events_per_minute")?.value ?? 0));
    this.rows.update(teams);
    this.roving.renew();
  }
}

class TeamRow implements View<Team> {
  readonly root = element("tr", { role: "row" });
  private readonly name = element("span", { class: "team-name" });
  private readonly cells: readonly { readonly column: Column; readonly value: Value; readonly fill: HTMLElement }[];
  private readonly students = element("small");
  private readonly age = element("td", { class: "row-age", role: "cell" });

  private readonly page: Page;
  private readonly busiest: () => number;

  constructor(page: Page, team: Team, busiest: () => number) {
    this.page = page;
    this.busiest = busiest;
    const { locale } = page;
    this.root.append(element("th", { scope: "row", role: "rowheader" }, this.name));
    this.cells = COLUMNS.map((column) => {
      const { name, field, bar } = column;
      const { label, short } = locale.metrics[name];
      const value = new Value(page, {
        name,
        scope: team.scope,
        ...(field === undefined ? {} : { field }),
        label: `${team.name}, ${label}`,
        compact: true,
      });
      const fill = element("span", { class: "bar-fill" });
      const cell = element("td", { role: "cell", "data-label": short, "data-metric": name });
      if (bar !== undefined) cell.append(element("span", { class: "bar", "data-bar": bar, "aria-hidden": "true" }, fill));
      cell.append(value.root);
      if (name === "active_students") cell.append(this.students);
      this.root.append(cell);
      return { column, value, fill };
    });
    this.age.dataset.label = locale.texts.ages;
    this.root.append(this.age);
  }

  update(team: Team): void {
    const { state, locale } = this.page;
    setText(this.name, team.onRoster ? team.name : `${team.name} (${locale.texts.notOnRoster})`);
    setAttribute(this.root, "data-off-roster", team.onRoster ? null : "");
    setText(this.students, team.students === 0 ? "" : ` / ${locale.count(team.students)}`);
    let newestMs = 0;
    for (const { column, value, fill } of this.cells) {
      value.update();
      const { point } = value;
      newestMs = Math.max(newestMs, point?.asOfMs ?? 0);
      const most = column.bar === "busy" ? this.busiest() : 1;
      if (column.bar !== undefined) fill.style.transform = `scaleX(${Math.min(1, (point?.value ?? 0) / most).toFixed(3)})`;
      if (column.name === "error_rate") setAttribute(value.root, "data-few", (point?.n ?? 0) < FEW ? "" : null);
      const asks = column.name === "help_requests_open" || column.name === "struggling_students";
      if (asks) setAttribute(value.root, "data-any", (point?.value ?? 0) > 0 ? column.name : null);
    }
    setText(this.age, newestMs === 0 ? "–" : locale.ago(state.ageMs(newestMs, this.page.nowMs())));
  }
}
