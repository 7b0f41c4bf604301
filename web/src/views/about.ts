/** What every number means, how it is counted and how true it is; what the marks say; how old a number is. */

import { element } from "../dom.ts";
import type { Explained } from "../i18n.ts";
import { explainedLatency, MARKS } from "../numbers.ts";
import type { Main, Page } from "./page.ts";

export class AboutView implements Main {
  readonly root: HTMLElement;

  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    const { locale } = page;
    const { texts } = locale;
    const entry = (title: string, ...lines: string[]): HTMLElement =>
      element("section", { class: "entry" }, element("h2", {}, title), ...lines.map((line) => element("p", {}, line)));
    const states = (["provisional", "final", "corrected"] as const).map((state) => `${MARKS[state]}  ${texts[state]}`);
    const entries = (Object.keys(locale.metrics) as Explained[])
      .filter((name) => name !== "latency")
      .map((name) => {
        const { label, what, formula, truth } = locale.metrics[name];
        return entry(label, what, locale.say("formula", { formula }), locale.say("truth", { truth }));
      });
    const [latency = "", ...told] = explainedLatency(locale, page.state.clockDoubtMs);
    this.root = element(
      "div",
      { class: "view about", "data-testid": "view:about" },
      element("h1", { class: "view-title", tabindex: "-1" }, texts.about),
      element(
        "div",
        { class: "card entries" },
        entry(texts.statesTitle, ...states),
        entry(texts.ages, texts.agesText),
        ...entries,
        entry(latency, ...told),
        entry(texts.privacy, texts.privacyText),
      ),
    );
  }

  title(): string {
    return this.page.locale.texts.about;
  }

  update(): void {
    // Nothing in it changes.
  }

  destroy(): void {
    // Nothing is held.
  }
}
