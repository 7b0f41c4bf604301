/** What every view of the page draws from. */

import type { HistoryPoint } from "../api.ts";
import type { Metric } from "../frames.ts";
import type { Locale } from "../i18n.ts";
import type { Latency } from "../latency.ts";
import type { Names } from "../names.ts";
import type { Series } from "../series.ts";
import type { State } from "../state.ts";
import type { Tip } from "./tip.ts";

export interface Page {
  readonly state: State;
  readonly locale: Locale;
  readonly names: Names;
  readonly tip: Tip;
  series(scope: string, metric: Metric): Series;
  /** The minutes of the student in view, since the day began; null while they are not known. */
  day(): readonly HistoryPoint[] | null;
  latency(): Latency | null;
  /** The viewer's clock. */
  nowMs(): number;
}

/** One view in the middle of the page. */
export interface Main {
  readonly root: HTMLElement;
  /** What the page is called while it is shown. */
  title(): string;
  update(): void;
  /** Call when the page drops it. */
  destroy(): void;
}
