/** The pipeline, place by place, with an arrow wherever events go. */

import { element, KeyedList, setAttribute, setText, type View } from "../dom.ts";
import type { Texts } from "../i18n.ts";
import { COLUMNS_MAX, placed, type Edge, type Pipeline, type PlaceInPipeline } from "../pipeline.ts";
import type { Page } from "./page.ts";
import { badge, link } from "./verdict.ts";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 0.09; // of a cell, left and right of what is in it: as the style has it

export class Drawing {
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

function kindOf(kind: string, texts: Texts): string {
  const key = `kind_${kind}`;
  return key in texts ? texts[key as keyof Texts] : "";
}

function nameOf(node: PlaceInPipeline, texts: Texts): string {
  if (node.kind === "door") return texts.door;
  if (node.kind === "viewers") return texts.viewers;
  return node.id === "server history" ? texts.historyStore : node.name;
}
