/** One course's line of events per minute, drawn by uPlot in the page's own colours. */

import uPlot from "uplot";
import { element, setAttribute, setText } from "./dom.ts";
import type { Locale } from "./i18n.ts";
import { SPAN_MS, type Line } from "./series.ts";

const HEIGHT_PX = 148;
const EDGE_S = 75;
const FLOOR = 10; // a lone event must not look like a storm

export class Chart {
  readonly root: HTMLElement;
  private readonly canvas = element("div", { class: "chart-canvas", role: "img" });
  private readonly readout = element("span", { class: "chart-readout", "aria-hidden": "true" });
  private readonly heading = element("span");
  private readonly empty: HTMLElement;
  private plot: uPlot | null = null;
  private line: Line = [[], []];
  private nowMs = 0;
  private readonly resized = new ResizeObserver(() => this.resize());
  private readonly darkness = matchMedia("(prefers-color-scheme: dark)");
  private readonly redress = (): void => this.build();

  private readonly locale: Locale;

  constructor(locale: Locale) {
    this.locale = locale;
    this.empty = element("p", { class: "chart-empty" }, locale.say("chartEmpty"));
    this.root = element(
      "div",
      { class: "chart" },
      element("div", { class: "chart-head" }, this.heading, this.readout),
      this.canvas,
      this.empty,
    );
    this.resized.observe(this.canvas);
    this.darkness.addEventListener("change", this.redress);
  }

  /** Call when the page drops the chart. */
  destroy(): void {
    this.resized.disconnect();
    this.darkness.removeEventListener("change", this.redress);
    this.plot?.destroy();
  }

  /** `longAgo`: `ms` is of another day, as in a replay, so the half hour drawn is the last one of then. */
  update(name: string, line: Line, { ms, longAgo }: { readonly ms: number; readonly longAgo: boolean }): void {
    this.line = line;
    this.nowMs = ms;
    const { locale } = this;
    setText(this.heading, longAgo ? locale.say("chartUntil", { time: locale.dateTime(ms) }) : locale.say("chart"));
    const known = line[1].filter((value) => value !== null);
    this.empty.hidden = known.length > 1;
    const say = (value: number | undefined): string => this.locale.count(value ?? 0);
    const [low, high, now] = [say(Math.min(...known)), say(Math.max(...known)), say(known.at(-1))];
    const summary =
      known.length === 0 ? this.locale.say("chartEmpty") : this.locale.say("chartSummary", { name, low, high, now });
    setAttribute(this.canvas, "aria-label", summary);
    if (this.plot === null) this.build();
    else this.plot.setData([line[0], line[1]]);
  }

  private resize(): void {
    const width = this.canvas.clientWidth;
    if (this.plot === null) this.build();
    else if (width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT_PX });
  }

  private build(): void {
    const width = this.canvas.clientWidth;
    if (width === 0) return; // not in the page yet
    this.plot?.destroy();
    const style = getComputedStyle(this.root);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--muted"),
      font: `11px ${style.fontFamily}`,
      ticks: { show: false },
      grid: { stroke: colour("--line"), width: 1 },
    };
    const options: uPlot.Options = {
      width,
      height: HEIGHT_PX,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: {
        x: { range: () => this.range() },
        y: { range: (_plot, _low, high) => [0, Math.max(FLOOR, (high ?? 0) * 1.08)] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 22,
          gap: 4,
          incrs: [300, 600, 900],
          space: 60,
          values: (_plot, splits) => splits.map((second) => this.tick(second)),
        },
        {
          ...axis,
          size: 40,
          gap: 6,
          space: 34,
          values: (_plot, splits) => splits.map((value) => this.locale.count(value)),
        },
      ],
      series: [
        {},
        {
          stroke: colour("--accent"),
          width: 2,
          fill: colour("--accent-wash"),
          points: { show: false },
        },
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
    const end = Math.max(this.nowMs / 1000, this.line[0].at(-1) ?? 0);
    return [end - SPAN_MS / 1000, end];
  }

  /** No label so close to the right edge that it would be cut. */
  private tick(second: number): string {
    return second > this.range()[1] - EDGE_S ? "" : this.locale.hourMinute(second * 1000);
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
    setText(
      this.readout,
      x === undefined || y == null ? "" : `${this.locale.hourMinute(x * 1000)}  ${this.locale.count(y)}`,
    );
  }
}
