/** What a student did today, by kind of activity. */

import { element, KeyedList, setText, type View } from "../dom.ts";
import type { Point } from "../frames.ts";
import type { Locale } from "../i18n.ts";

export class Kinds {
  readonly root: HTMLElement;
  private readonly list: KeyedList<Point>;
  private most = 1;

  private readonly locale: Locale;

  constructor(locale: Locale) {
    this.locale = locale;
    const list = element("ul", { class: "kinds" });
    this.list = new KeyedList(
      list,
      (point) => point.label,
      () => this.line(),
    );
    this.root = element("section", { class: "card" }, element("h2", {}, locale.texts.kinds), list);
  }

  update(points: readonly Point[]): void {
    const sorted = [...points].sort((a, b) => b.value - a.value || a.label.localeCompare(b.label));
    this.most = Math.max(1, ...sorted.map(({ value }) => value));
    this.root.hidden = sorted.length === 0;
    this.list.update(sorted);
  }

  private line(): View<Point> {
    const [name, number, fill] = [element("span"), element("b"), element("span", { class: "bar-fill" })];
    const root = element("li", {}, name, element("span", { class: "bar", "aria-hidden": "true" }, fill), number);
    const update = ({ label, value }: Point): void => {
      setText(name, this.locale.kind(label));
      setText(number, this.locale.count(value));
      fill.style.transform = `scaleX(${(value / this.most).toFixed(3)})`;
    };
    return { root, update };
  }
}
