/** For who is on call: one verdict and where to look first, then the pipeline, place by place, and what has changed. */

import { element, KeyedList, setAttribute, setText, type View } from "../dom.ts";
import type { Texts } from "../i18n.ts";
import {
  COLUMNS_MAX,
  placed,
  sectionOf,
  type ChangeTold,
  type Edge,
  type ErrorTold,
  type Level,
  type Pipeline,
  type PlaceInPipeline,
  type ReasonTold,
} from "../pipeline.ts";
import type { Main, Page } from "./page.ts";

const SVG = "http://www.w3.org/2000/svg";
const GLYPHS: Readonly<Record<Level, string>> = { ok: "✓", unknown: "?", degraded: "▲", failing: "✕" };
const OLD_MS = 10_000; // the gateway looks every 2 s
const MARGIN = 0.09; // of a cell, left and right of what is in it: as the style has it

export class OncallView implements Main {
  readonly root: HTMLElement;
  private readonly verdict = element("p", { class: "verdict", "data-testid": "oncall:verdict" });
  private readonly says = element("p", { class: "says" });
  private readonly facts = element("p", { class: "note", "data-testid": "oncall:seen" });
  private readonly banner: HTMLElement;
  private readonly drawing: Drawing;
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
    this.rest = element("div", { class: "column" }, this.why, this.drawing.root, lower);
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

class Drawing {
  readonly root: HTMLElement;
  private readonly lines = document.createElementNS(SVG, "svg");
  private readonly nodes: KeyedList<PlaceInPipeline>;
  private edges: readonly Edge[] = [];
  private first: string | null = null;
  private at = new Map<string, readonly [number, number]>();
  private names = new Map<string, string>();
  private drawn = "";

  constructor(page: Page) {
    const { texts } = page.locale;
    this.lines.setAttribute("class", "edges");
    this.lines.setAttribute("preserveAspectRatio", "none");
    this.lines.setAttribute("aria-hidden", "true"); // each place says where it is from
    const list = element("ul", { class: "nodes", "aria-label": texts.pipeline });
    this.nodes = new KeyedList(
      list,
      (node) => node.id,
      () => new NodeView(page, (id) => this.from(id), (id) => this.at.get(id) ?? [1, 1], (id) => id === this.first),
    );
    const frame = element("div", { class: "pipeline" }, list);
    frame.prepend(this.lines);
    this.root = element("section", { class: "card" }, element("h2", {}, texts.pipeline), frame);
  }

  update({ nodes, edges, first }: Pipeline): void {
    this.first = first;
    this.at = placed(nodes);
    this.edges = edges;
    this.names = new Map(nodes.map((node) => [node.id, node.name]));
    const along = [...nodes].sort((a, b) => this.order(a.id) - this.order(b.id)); // as events go, also where stacked
    this.nodes.update(along);
    this.draw(new Map(nodes.map((node) => [node.id, node])));
  }

  private order(id: string): number {
    const [column, row] = this.at.get(id) ?? [0, 0];
    return column * 100 + row;
  }

  private from(id: string): string[] {
    return this.edges.filter((edge) => edge.target === id).map((edge) => this.names.get(edge.source) ?? edge.source);
  }

  private draw(nodes: ReadonlyMap<string, PlaceInPipeline>): void {
    const rows = Math.max(1, ...[...this.at.values()].map(([, row]) => row));
    const ways = this.edges.flatMap(({ source, target }) => {
      const [from, to] = [this.at.get(source), this.at.get(target)];
      if (from === undefined || to === undefined) return [];
      const bad = ["degraded", "failing"].includes(nodes.get(source)?.verdict ?? ""); // what comes from there
      return [{ way: way(from, to), back: from[0] > to[0], bad }];
    });
    const drawn = JSON.stringify([rows, ways]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.lines.setAttribute("viewBox", `0 0 ${COLUMNS_MAX} ${rows}`);
    this.lines.replaceChildren(
      ...ways.map(({ way, back, bad }) => {
        const path = document.createElementNS(SVG, "path");
        path.setAttribute("d", way);
        path.setAttribute("class", `${back ? "back" : ""} ${bad ? "bad" : ""}`);
        return path;
      }),
    );
  }
}

/** From one side of a place to the near side of the other, in cells. */
function way([fromColumn, fromRow]: readonly [number, number], [toColumn, toRow]: readonly [number, number]): string {
  const forward = toColumn > fromColumn;
  const x1 = forward ? fromColumn - MARGIN : fromColumn - 1 + MARGIN;
  const x2 = forward ? toColumn - 1 + MARGIN : toColumn - MARGIN;
  const [y1, y2] = [fromRow - 0.5, toRow - 0.5];
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

class NodeView implements View<PlaceInPipeline> {
  readonly root: HTMLElement;
  private readonly kind = element("span", { class: "kind" });
  private readonly name = element("strong", { class: "name" });
  private readonly badge = element("span", { class: "level" });
  private readonly hint = element("span", { class: "hint" });
  private readonly figures = element("p", { class: "figures-of" });
  private readonly says = element("p", { class: "says" });
  private readonly link = element("a", { class: "runbook", target: "_blank", rel: "noopener" });
  private readonly source = element("p", { class: "from" });

  private readonly page: Page;
  private readonly from: (id: string) => string[];
  private readonly at: (id: string) => readonly [number, number];
  private readonly isFirst: (id: string) => boolean;

  constructor(
    page: Page,
    from: (id: string) => string[],
    at: (id: string) => readonly [number, number],
    isFirst: (id: string) => boolean,
  ) {
    this.page = page;
    this.from = from;
    this.at = at;
    this.isFirst = isFirst;
    const head = element("p", { class: "node-head" }, this.kind, this.badge);
    this.root = element("li", { class: "node" }, this.hint, head, this.name, this.figures, this.says, this.link, this.source);
  }

  update(node: PlaceInPipeline): void {
    const { locale } = this.page;
    const { texts } = locale;
    const [column, row] = this.at(node.id);
    this.root.style.gridColumn = String(column);
    this.root.style.gridRow = String(row);
    const first = this.isFirst(node.id);
    setAttribute(this.root, "data-testid", `node:${node.id}`);
    setAttribute(this.root, "data-level", node.verdict);
    setAttribute(this.root, "data-kind", node.kind);
    setAttribute(this.root, "data-first", first ? "" : null);
    setText(this.hint, first ? texts.lookHere : "");
    setText(this.kind, kindOf(node.kind, texts));
    setText(this.name, nameOf(node, texts));
    setAttribute(this.root, "title", node.verdict === "ok" && node.says !== "" ? node.says : null);
    badge(this.badge, node.verdict, texts, node.state);
    setText(this.figures, this.written(node).join("\n"));
    setText(this.says, node.verdict === "ok" ? "" : node.says);
    this.link.hidden = node.runbook === null;
    if (node.runbook !== null) link(this.link, node.runbook, texts);
    const from = this.from(node.id);
    setAttribute(this.root, "data-from", from.length === 0 ? null : "");
    setText(this.source, from.length === 0 ? "" : locale.say("from", { names: locale.list(from) }));
  }

  private written(node: PlaceInPipeline): string[] {
    const { locale } = this.page;
    const rate = (value: number): string => locale.mean(value);
    const told: string[] = [];
    if (node.viewers !== null) told.push(locale.say("watching", { n: locale.count(node.viewers) }));
    if (node.rateIn !== null && node.rateOut !== null) {
      told.push(locale.say("inOut", { in: rate(node.rateIn), out: rate(node.rateOut) }));
    } else if (node.rateIn !== null || node.rateOut !== null) {
      told.push(locale.say("perSecond", { n: rate(node.rateIn ?? node.rateOut ?? 0) }));
    }
    if (node.lag !== null) {
      const time = node.lagS === null ? "" : ` (${locale.moment(node.lagS * 1000)})`;
      told.push(locale.say("lagOf", { n: locale.count(node.lag) }) + time);
    }
    if (node.workers !== null) told.push(locale.say("workersReady", { ready: node.ready ?? 0, n: node.workers }));
    if (node.kind === "server" && node.latencyS !== null) {
      told.push(locale.say("answersIn", { ms: locale.mean(node.latencyS * 1000) }));
    }
    if (node.kind === "viewers" && node.latencyS !== null) {
      told.push(locale.say("probeShort", { time: locale.moment(node.latencyS * 1000) }));
    }
    return told;
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

function badge(node: HTMLElement, level: Level, texts: Texts, state: string | null = null): void {
  setAttribute(node, "data-level", level);
  const key = `state_${state ?? ""}`;
  const words = level !== "ok" && level !== "unknown" && key in texts && state !== "ok" && state !== "idle" ? key : `level_${level}`;
  const calm = level === "ok" && state === "idle" ? "state_idle" : words;
  setText(node, `${GLYPHS[level]} ${texts[calm as keyof Texts]}`);
}

function link(node: HTMLAnchorElement, runbook: string, texts: Texts): void {
  const section = sectionOf(runbook);
  setAttribute(node, "href", `runbook.html#${section}`);
  setText(node, `${texts.runbook}: ${section}`);
}

function kindOf(kind: string, texts: Texts): string {
  const key = `kind_${kind}`;
  return key in texts ? texts[key as keyof Texts] : "";
}

function nameOf(node: PlaceInPipeline, texts: Texts): string {
  if (node.kind === "door") return texts.door;
  if (node.kind === "viewers") return texts.viewers;
  return node.id === "server history" ? texts.historyStore : node.name;
}

function about(name: string, texts: Texts): string {
  return name === "system" ? texts.system : name;
}
