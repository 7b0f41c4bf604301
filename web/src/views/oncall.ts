/** For who is on call: one verdict and where to look first, then the pipeline, place by place, and what has changed. */

import { element, KeyedList, setAttribute, setText, type View } from "../dom.ts";
import type { Texts } from "../i18n.ts";
import type { ChangeTold, ErrorTold, Level, Pipeline, ReasonTold } from "../pipeline.ts";
import { Drawing } from "./drawing.ts";
import type { Main, Page } from "./page.ts";
import { Promises } from "./promises.ts";
import { badge, GLYPHS, link } from "./verdict.ts";

const OLD_MS = 10_000; // the gateway looks every 2 s

export class OncallView implements Main {
  readonly root: HTMLElement;
  private readonly verdict = element("p", { class: "verdict", "data-testid": "oncall:verdict" });
  private readonly says = element("p", { class: "says" });
  private readonly facts = element("p", { class: "note", "data-testid": "oncall:seen" });
  private readonly banner: HTMLElement;
  private readonly drawing: Drawing;
  private readonly promises: Promises;
  private readonly reasons: KeyedList<ReasonTold>;
  private readonly why: HTMLElement;
  private readonly changes: Lines<ChangeTold>;
  private readonly errors: Lines<ErrorTold>;
  private readonly rest: HTMLElement;
  private shown: Pipeline | null = null;

  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    const { locale } = page;
    const { texts } = locale;
    this.banner = element("section", { class: "card banner", "aria-label": texts.verdict }, this.verdict, this.says, this.facts);
    this.drawing = new Drawing(page);
    this.promises = new Promises(page);
    const reasons = element("ul", { class: "reasons" });
    this.reasons = new KeyedList(reasons, (reason) => reason.about, () => new ReasonView(page));
    this.why = element("section", { class: "card" }, element("h2", {}, texts.reasons), reasons);
    this.changes = new Lines(texts.changes, texts.noChanges, (change) => {
      const words = change.verdict === "ok" ? texts.rightAgain : change.says;
      return [change.verdict, locale.time(change.atMs), about(change.about, texts), words];
    });
    this.errors = new Lines(texts.lastErrors, texts.noErrors, (error) => {
      return [null, locale.time(error.atMs), about(error.about, texts), error.says];
    });
    const lower = element("div", { class: "lower" }, this.changes.root, this.errors.root);
    this.rest = element("div", { class: "column" }, this.why, this.drawing.root, this.promises.root, lower);
    this.root = element(
      "div",
      { class: "view oncall", "data-testid": "view:oncall" },
      element("h1", { class: "view-title", tabindex: "-1" }, texts.oncall),
      this.banner,
      this.rest,
    );
  }

  title(): string {
    return this.page.locale.texts.oncall;
  }

  update(): void {
    const { state, locale } = this.page;
    const { texts } = locale;
    const { pipeline } = state;
    this.rest.hidden = pipeline === null;
    if (pipeline === null) {
      setText(this.verdict, state.oncall ? texts.loading : texts.notForYou);
      return;
    }
    const ageMs = state.ageMs(pipeline.seenMs, this.page.nowMs());
    const old = ageMs > OLD_MS;
    setAttribute(this.banner, "data-level", old ? "unknown" : pipeline.verdict);
    setText(this.verdict, `${GLYPHS[pipeline.verdict]} ${texts[`level_${pipeline.verdict}`]}`);
    setText(this.says, pipeline.verdict === "ok" ? texts.allWorks : pipeline.says);
    const { probe, audit } = pipeline;
    const facts = [
      locale.say(old ? "seenLongAgo" : "seenAgo", { ago: locale.ago(ageMs) }),
      locale.say("soSince", { time: locale.time(pipeline.sinceMs) }),
    ];
    if (probe?.latencyS != null) facts.push(locale.say("probeTook", { time: locale.moment(probe.latencyS * 1000) }));
    if (audit.addsUp !== null) facts.push(audit.addsUp ? texts.addsUp : audit.says);
    setText(this.facts, facts.join(" · "));
    setAttribute(this.facts, "data-old", old ? "" : null);
    if (this.shown === pipeline) return;
    this.shown = pipeline;
    this.why.hidden = pipeline.reasons.length === 0;
    this.reasons.update(pipeline.reasons);
    this.drawing.update(pipeline);
    this.promises.update(pipeline.objectives);
    this.changes.update(pipeline.changes);
    this.errors.update(pipeline.errors);
  }

  destroy(): void {
    // Nothing is held.
  }
}

class ReasonView implements View<ReasonTold> {
  readonly root: HTMLElement;
  private readonly badge = element("span", { class: "level" });
  private readonly says = element("span", { class: "says" });
  private readonly since = element("span", { class: "note" });
  private readonly link = element("a", { class: "runbook", target: "_blank", rel: "noopener" });

  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    this.root = element("li", {}, this.badge, this.says, this.since, this.link);
  }

  update(reason: ReasonTold): void {
    const { locale, state } = this.page;
    badge(this.badge, reason.verdict, locale.texts);
    setText(this.says, reason.says);
    setText(this.since, locale.say("soSince", { time: locale.time(reason.sinceMs - state.clockAheadMs) }));
    link(this.link, reason.runbook, locale.texts);
  }
}

/** Newest first. */
class Lines<Item extends { readonly atMs: number; readonly about: string }> {
  readonly root: HTMLElement;
  private readonly list: HTMLElement;
  private readonly nothing: HTMLElement;
  private readonly written: (item: Item) => [Level | null, string, string, string];

  constructor(title: string, nothing: string, written: (item: Item) => [Level | null, string, string, string]) {
    this.written = written;
    this.list = element("ol", { class: "lines", tabindex: "0", "aria-label": title }); // it scrolls, by keys too
    this.nothing = element("p", { class: "note" }, nothing);
    this.root = element("section", { class: "card" }, element("h2", {}, title), this.nothing, this.list);
  }

  update(items: readonly Item[]): void {
    this.list.hidden = items.length === 0;
    this.nothing.hidden = items.length > 0;
    const rows = items.map((item) => {
      const [level, time, about, says] = this.written(item);
      const glyph = level === null ? [] : [element("span", { class: "change-sign", "data-level": level, "aria-hidden": "true" }, GLYPHS[level])];
      return element("li", {}, element("time", {}, time), ...glyph, element("strong", {}, about), element("span", {}, says));
    });
    this.list.replaceChildren(...rows);
  }
}

function about(name: string, texts: Texts): string {
  return name === "system" ? texts.system : name;
}
