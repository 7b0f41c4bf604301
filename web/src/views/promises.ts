/** What is promised over 30 days, and how much of it is kept (docs/slo.md). */

import { element, KeyedList, setAttribute, setText, type View } from "../dom.ts";
import type { Level, Promised } from "../pipeline.ts";
import type { Page } from "./page.ts";
import { GLYPHS, link } from "./verdict.ts";

export class Promises {
  readonly root: HTMLElement;
  private readonly list: KeyedList<Promised>;

  constructor(page: Page) {
    const { texts } = page.locale;
    const list = element("ul", { class: "promises" });
    this.list = new KeyedList(list, (one) => one.objective, () => new PromiseView(page));
    this.root = element("section", { class: "card" }, element("h2", {}, texts.promises), list);
  }

  update(promised: readonly Promised[]): void {
    this.root.hidden = promised.length === 0;
    this.list.update(promised);
  }
}

class PromiseView implements View<Promised> {
  readonly root: HTMLElement;
  private readonly sign = element("span", { class: "change-sign", "aria-hidden": "true" });
  private readonly promise = element("span", { class: "says" });
  private readonly kept = element("strong");
  private readonly budget = element("span", { class: "note" });
  private readonly link = element("a", { class: "runbook", target: "_blank", rel: "noopener" });

  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    this.root = element("li", {}, this.sign, this.promise, this.kept, this.budget, this.link);
  }

  update(one: Promised): void {
    const { locale } = this.page;
    const { texts } = locale;
    const broken = one.share !== null && one.share < one.target;
    setAttribute(this.root, "data-testid", `promise:${one.objective}`);
    const level = levelOf(one, broken);
    setAttribute(this.root, "data-level", level);
    setText(this.sign, level === "unknown" ? "–" : GLYPHS[level]);
    const key = `promise_${one.objective}`;
    setText(this.promise, key in texts ? texts[key as keyof typeof texts] : one.promise);
    setText(this.kept, one.share === null ? texts.nothingCounted : locale.fine(one.share));
    const told = [locale.say("promisedOf", { target: locale.fine(one.target), bad: locale.count(one.bad), n: locale.count(one.total) })];
    if (one.budgetLeft !== null) told.push(locale.say("budgetLeft", { share: locale.share(one.budgetLeft) }));
    if (one.burning) told.push(texts.burning);
    setText(this.budget, told.join(" · "));
    this.link.hidden = !one.burning && !broken;
    link(this.link, one.runbook, texts);
  }
}

function levelOf(one: Promised, broken: boolean): Level {
  if (one.burning) return "failing";
  if (broken) return "degraded";
  return one.share === null ? "unknown" : "ok";
}
