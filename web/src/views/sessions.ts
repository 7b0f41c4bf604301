/** A student's sessions of the day: as bars on a line of time, and as words. */

import type { HistoryPoint } from "../api.ts";
import type { Span } from "../chart.ts";
import { sessions, type Session } from "../day.ts";
import { element, KeyedList, setText, type View } from "../dom.ts";
import type { Locale } from "../i18n.ts";

export class Sessions {
  readonly root: HTMLElement;
  private readonly bars: KeyedList<Session>;
  private readonly lines: KeyedList<Session>;
  private readonly none = element("p", { class: "nobody" });
  private span: Span = { fromMs: 0, toMs: 1 };

  private readonly locale: Locale;

  constructor(locale: Locale) {
    this.locale = locale;
    const track = element("div", { class: "track", "aria-hidden": "true" });
    const list = element("ol", { class: "sessions", "aria-label": locale.texts.sessions });
    const key = ({ fromMs }: Session): string => String(fromMs);
    this.bars = new KeyedList(track, key, () => this.bar());
    this.lines = new KeyedList(list, key, () => this.line());
    this.root = element("div", {}, track, list, this.none);
  }

  update(points: readonly HistoryPoint[], span: Span, known: boolean): void {
    this.span = span;
    const found = sessions(points);
    this.bars.update(found);
    this.lines.update(found);
    this.none.hidden = found.length > 0;
    setText(this.none, known ? this.locale.texts.sessionsNone : this.locale.texts.loading);
  }

  private bar(): View<Session> {
    const root = element("span", { class: "session" });
    const update = ({ fromMs, toMs }: Session): void => {
      const { span } = this;
      const share = (ms: number): number => Math.max(0, Math.min(100, (100 * (ms - span.fromMs)) / (span.toMs - span.fromMs)));
      root.style.left = `${share(fromMs).toFixed(2)}%`;
      root.style.width = `${(share(toMs) - share(fromMs)).toFixed(2)}%`;
    };
    return { root, update };
  }

  private line(): View<Session> {
    const { locale } = this;
    const root = element("li");
    const update = ({ fromMs, toMs, events }: Session): void => {
      const [from, to] = [locale.hourMinute(fromMs), locale.hourMinute(toMs)];
      const length = locale.length((toMs - fromMs) / 1000);
      setText(root, locale.say("sessionLine", { from, to, length, events: locale.count(events) }));
    };
    return { root, update };
  }
}
