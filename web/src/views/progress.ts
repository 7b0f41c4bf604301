/** How far the students of a course have come today: quartiles of tasks completed, as a bar and as numbers. */

import { element, setAttribute, setText } from "../dom.ts";
import type { Page } from "./page.ts";
import { Value } from "./value.ts";

const QUARTILES = [
  ["task_progress:q1", "quartile1"],
  ["task_progress:median", "median"],
  ["task_progress:q3", "quartile3"],
] as const;
const FLOOR = 4; // tasks; one task must not fill the bar

export class Progress {
  readonly root: HTMLElement;
  private readonly values: readonly Value[];
  private readonly box = element("span", { class: "box" });
  private readonly middle = element("span", { class: "middle" });
  private readonly of = element("p", { class: "note" });
  private readonly numbers: HTMLElement;

  private readonly page: Page;

  constructor(page: Page, scope: string) {
    this.page = page;
    const { texts } = page.locale;
    this.numbers = element("dl", { class: "quartiles" });
    this.values = QUARTILES.map(([field, text]) => {
      const value = new Value(page, { name: "task_progress", scope, field, label: texts[text] });
      this.numbers.append(element("div", {}, element("dt", {}, texts[text]), element("dd", {}, value.root)));
      return value;
    });
    const range = element("div", { class: "range", "aria-hidden": "true" }, this.box, this.middle);
    this.root = element("section", { class: "card progress" }, element("h3", {}, texts.progress), range, this.numbers, this.of);
  }

  update(): void {
    const { locale } = this.page;
    for (const value of this.values) value.update();
    const [low = 0, middle = 0, high = 0] = this.values.map(({ point }) => point?.value ?? 0);
    const most = Math.max(FLOOR, high * 1.25);
    const share = (value: number): string => `${((100 * value) / most).toFixed(1)}%`;
    this.box.style.left = share(low);
    this.box.style.width = share(high - low);
    this.middle.style.left = share(middle);
    const known = this.values[1]?.point;
    setAttribute(this.root, "data-known", known === undefined ? null : "");
    this.numbers.hidden = known === undefined;
    setText(this.of, known === undefined ? locale.texts.noProgress : locale.say("progressOf", { n: locale.count(known.n) }));
  }
}
