/** A course's chart of one metric over the last half hour. */

import { Chart } from "../chart.ts";
import type { Course } from "../api.ts";
import type { Metric } from "../frames.ts";
import { SPAN_MS } from "../series.ts";
import type { Page } from "./page.ts";

/** Which metrics a course is drawn by; the first one also where there is room for one only. */
export const CHARTED: readonly Metric[] = ["events_per_minute", "active_students", "error_rate"];

const FLOORS: Readonly<Partial<Record<Metric, number>>> = { events_per_minute: 10, active_students: 5 };
const CEILINGS: Readonly<Partial<Record<Metric, number>>> = { error_rate: 1 };

export class HalfHour {
  readonly root: HTMLElement;
  private readonly chart: Chart;

  private readonly page: Page;
  private readonly metric: Metric;

  constructor(page: Page, metric: Metric, heightPx: number) {
    this.page = page;
    this.metric = metric;
    const ceiling = CEILINGS[metric];
    const floor = FLOORS[metric] ?? 0.2;
    this.chart = new Chart(page.locale, { metric, heightPx, floor, ...(ceiling === undefined ? {} : { ceiling }) });
    this.root = this.chart.root;
  }

  destroy(): void {
    this.chart.destroy();
  }

  /** In a replay of another day, the half hour drawn is the last one of then. */
  update(course: Course): void {
    const { state, locale } = this.page;
    const { ms, longAgo } = state.eventNowMs(course.scope, this.page.nowMs());
    const metric = locale.metrics[this.metric].label;
    const heading = longAgo
      ? locale.say("chartUntil", { metric, time: locale.dateTime(ms) })
      : locale.say("chartSpan", { metric });
    const line = this.page.series(course.scope, this.metric).line(ms);
    this.chart.update(course.name, heading, line, { fromMs: ms - SPAN_MS, toMs: ms });
  }
}
