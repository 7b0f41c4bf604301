/** One metric's line over time, drawn by uPlot in the page's own colours. */

import uPlot from "uplot";
import { element, setAttribute, setText } from "./dom.ts";
import type { Explained, Locale } from "./i18n.ts";
import { writtenValue } from "./numbers.ts";
import type { Line } from "./series.ts";

const WHOLE = [1, 2, 5].flatMap((step) => [1, 10, 100, 1_000, 10_000].map((tens) => step * tens)).sort((a, b) => a - b);
const EDGE_SHARE = 0.04; // of the width: no label so close to the right edge that it would be cut

export interface Drawn {
  readonly metric: Explained;
  readonly heightPx: number;
  readonly floor: number; // the scale reaches so far at least: a lone event must not look like a storm
  readonly ceiling?: number; // and no further
}

export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export class Chart {
  readonly root: HTMLElement;
  private readonly canvas: HTMLElement;
  private readonly readout = element("span", { class: "chart-readout", "aria-hidden": "true" });
  private readonly heading = element("span");
  private readonly empty: HTMLElement;
  private plot: uPlot | null = null;
  private line: Line = [[], [], []];
  private span: Span = { fromMs: 0, toMs: 0 };
  private readonly resized = new ResizeObserver(() => this.resize());

  private readonly locale: Locale;
  private readonly drawn: Drawn;

  constructor(locale: Locale, drawn: Drawn) {
    this.locale = locale;
    this.drawn = drawn;
    this.canvas = element("div", { class: "chart-canvas", role: "img" });
    this.canvas.style.height = `${drawn.heightPx}px`;
    this.empty = element("p", { class: "chart-empty" }, locale.say("chartEmpty"));
    this.root = element(
      "div",
      { class: "chart" },
      element("div", { class: "chart-head" }, this.heading, this.readout),
      this.canvas,
      this.empty,
    );
    this.resized.observe(this.canvas);
  }

  /** Call when the page drops the chart. */
  destroy(): void {
    this.resized.disconnect();
    this.plot?.destroy();
  }

  /** `name`: of what. */
  update(name: string, heading: string, line: Line, span: Span): void {
    this.line = line;
    this.span = span;
    setText(this.heading, heading);
    const known = line[1].filter((value) => value !== null);
    this.empty.hidden = known.length > 1;
    const [low, high, now] = [Math.min(...known), Math.max(...known), known.at(-1) ?? 0].map((value) => this.say(value));
    const summary =
      known.length === 0
        ? `${heading}: ${this.locale.say("chartEmpty")}`
        : this.locale.say("chartSummary", { name, metric: heading, low: low ?? "", high: high ?? "", now: now ?? "" });
    setAttribute(this.canvas, "aria-label", summary);
    if (this.plot === null) this.build();
    else this.plot.setData([line[0], line[1]]);
  }

  private say(value: number): string {
    return writtenValue(this.locale, this.drawn.metric, value);
  }

  private resize(): void {
    const width = this.canvas.clientWidth;
    if (this.plot === null) this.build();
    else if (width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this.drawn.heightPx });
  }

  private build(): void {
    const width = this.canvas.clientWidth;
    if (width === 0) return; // not in the page yet
    const { floor, ceiling, heightPx } = this.drawn;
    const style = getComputedStyle(this.root);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--muted"),
      font: `11px ${style.fontFamily}`,
      ticks: { show: false },
      grid: { stroke: colour("--line"), width: 1 },
    };
    const top = (high: number | null): number => Math.min(ceiling ?? Infinity, Math.max(floor, (high ?? 0) * 1.08));
    const steps = ceiling === undefined ? { incrs: WHOLE } : {}; // there is no half of an event
    const options: uPlot.Options = {
      width,
      height: heightPx,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { range: () => this.range() }, y: { range: (_plot, _low, high) => [0, top(high)] } },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 22,
          gap: 4,
          incrs: [300, 600, 900, 1800, 3600, 7200, 14400],
          space: 60,
          values: (_plot, splits) => splits.map((second) => this.tick(second)),
        },
        { ...axis, ...steps, size: 44, gap: 6, space: 34, values: (_plot, splits) => splits.map((value) => this.say(value)) },
      ],
      series: [
        {},
        { stroke: colour("--accent"), width: 2, fill: colour("--accent-wash"), points: { show: false } },
      ],
      hooks: {
        setCursor: [(plot) => this.read(plot)],
        draw: [(plot) => this.markEnd(plot, colour("--accent"), colour("--card"))],
      },
    };
    this.plot = new uPlot(options, [this.line[0], this.line[1]], this.canvas);
  }

  /** The newest window is still filling, so it may end a few seconds ahead of now. */
  private range(): [number, number] {
    const { fromMs, toMs } = this.span;
    const end = Math.max(toMs / 1000, this.line[0].at(-1) ?? 0);
    return [end - (toMs - fromMs) / 1000, end];
  }

  private tick(second: number): string {
    const [from, to] = this.range();
    return second > to - (to - from) * EDGE_SHARE ? "" : this.locale.hourMinute(second * 1000);
  }

  /** A dot where the line is now, ringed in the card's colour. */
  private markEnd(plot: uPlot, accent: string, card: string): void {
    const [x, y] = [this.line[0].at(-1), this.line[1].at(-1)];
    if (x === undefined || y == null) return;
    const { ctx } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.arc(plot.valToPos(x, "x", true), plot.valToPos(y, "y", true), 4 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fillStyle = accent;
    ctx.strokeStyle = card;
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.fill();
    ctx.stroke();
    ctx.restore();
  }

  private read(plot: uPlot): void {
    const index = plot.cursor.idx;
    const [x, y] = index == null ? [undefined, undefined] : [this.line[0][index], this.line[1][index]];
    const words = index != null && this.line[2][index] === true ? `  ${this.locale.say("correctedShort")}` : "";
    setText(
      this.readout,
      x === undefined || y == null ? "" : `${this.locale.hourMinute(x * 1000)}  ${this.say(y)}${words}`,
    );
  }
}
