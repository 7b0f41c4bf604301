/** One number: how old and how final it is beside it, what it means and how true it is on hover, focus or touch. */

import { element, setAttribute, setText } from "../dom.ts";
import type { Point } from "../frames.ts";
import { isLongAgo } from "../freshness.ts";
import type { Explained } from "../i18n.ts";
import { explained, MARKS, written } from "../numbers.ts";
import type { Page } from "./page.ts";

export interface Shown {
  readonly name: Explained;
  readonly scope: string;
  readonly field?: string; // where it is not the name
  readonly label?: string; // what a screen reader calls it, where that is not the metric's own
  readonly compact?: boolean; // the age is told elsewhere, and of the states only what is no longer provisional
}

export class Value {
  readonly root: HTMLButtonElement;
  readonly number: HTMLElement;
  private readonly said = element("span", { class: "unseen" });
  private readonly unit = element("span", { class: "unit" });
  private readonly how = element("span", { class: "unseen" });
  private readonly fresh = element("span", { class: "fresh", "aria-hidden": "true" });

  private readonly page: Page;
  private readonly shown: Shown;

  constructor(page: Page, shown: Shown) {
    this.page = page;
    this.shown = shown;
    this.number = element("span", { class: "number", "data-testid": `${shown.scope}:${shown.field ?? shown.name}` });
    this.root = element("button", { type: "button", class: "value" }, this.said, this.number, this.unit, this.how, this.fresh);
    this.said.textContent = `${shown.label ?? page.locale.metrics[shown.name].label}: `;
    page.tip.explain(this.root, () => explained(page.locale, shown.name, this.point, this.ageMs));
  }

  get point(): Point | undefined {
    return this.page.state.at(this.shown.scope, this.shown.field ?? this.shown.name);
  }

  private get ageMs(): number {
    const { state } = this.page;
    return this.point === undefined ? 0 : state.ageMs(this.point.asOfMs, this.page.nowMs());
  }

  /** `unit`: what is said beside it, as "of 51". */
  update(unit = ""): void {
    const { locale, tip } = this.page;
    const { name, compact } = this.shown;
    const { point } = this;
    setText(this.number, written(locale, name, point));
    setText(this.unit, unit);
    const state = point?.state ?? null;
    setAttribute(this.root, "data-state", state);
    let fresh = "";
    if (point !== undefined && compact === true) fresh = point.state === "provisional" ? "" : MARKS[point.state];
    else if (point !== undefined) {
      const age = isLongAgo(this.ageMs) ? locale.dateTime(point.asOfMs) : locale.ago(this.ageMs);
      fresh = `${MARKS[point.state]} ${age}`;
    }
    setText(this.fresh, fresh);
    setText(this.how, state === null ? "" : ` (${locale.say(state).split(/[:：]/)[0]})`);
    tip.renew(this.root);
  }
}

/** A number under its name. */
export class Figure {
  readonly root: HTMLElement;
  private readonly value: Value;
  private readonly alarming: boolean;
  private readonly more: ((point: Point | undefined) => string) | null;

  /** `more`: what is said beside it, as "of 51". `alarming`: more than none calls for somebody. */
  constructor(
    page: Page,
    shown: Shown,
    { more = null, alarming = false }: { more?: ((point: Point | undefined) => string) | null; alarming?: boolean } = {},
  ) {
    this.value = new Value(page, shown);
    this.more = more;
    this.alarming = alarming;
    const label = shown.label ?? page.locale.metrics[shown.name].label;
    this.root = element(
      "div",
      { class: "figure", "data-metric": shown.name },
      element("dt", {}, label),
      element("dd", {}, this.value.root),
    );
  }

  update(): void {
    const { point } = this.value;
    this.value.update(this.more?.(point));
    setAttribute(this.root, "data-any", this.alarming && (point?.value ?? 0) > 0 ? "" : null);
  }
}

/** Figures side by side. */
export class Figures {
  readonly root: HTMLElement;
  private readonly figures: readonly Figure[];

  constructor(figures: readonly Figure[], className = "figures") {
    this.figures = figures;
    this.root = element("dl", { class: className }, ...figures.map((figure) => figure.root));
  }

  update(): void {
    for (const figure of this.figures) figure.update();
  }
}
