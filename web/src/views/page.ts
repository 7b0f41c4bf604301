/** What every view of the page draws from. */

import type { Locale } from "../i18n.ts";
import type { Series } from "../series.ts";
import type { State } from "../state.ts";
import type { Tip } from "./tip.ts";

export interface Page {
  readonly state: State;
  readonly locale: Locale;
  readonly tip: Tip;
  series(scope: string): Series;
  /** The viewer's clock. */
  nowMs(): number;
}
