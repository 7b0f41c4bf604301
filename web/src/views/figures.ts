/** The numbers by which a course, or the school, is told at a glance. */

import type { School } from "../api.ts";
import type { Explained } from "../i18n.ts";
import type { Page } from "./page.ts";
import { Figure, Figures } from "./value.ts";

/** Of a scope with so many students. `which`: in this order. */
export function figuresOf(
  page: Page,
  scope: string,
  students: () => School | undefined,
  which: readonly Explained[],
  className = "figures",
): Figures {
  const { state, locale } = page;
  const of = (): string => {
    const number = students()?.students ?? 0;
    return number === 0 ? "" : locale.say("of", { n: locale.count(number) });
  };
  const figure = (name: Explained): Figure => {
    const shown = { name, scope };
    switch (name) {
      case "active_students":
      case "present_students":
        return new Figure(page, shown, { more: of });
      case "error_rate":
        return new Figure(page, shown, {
          more: (point) => ((point?.n ?? 0) === 0 ? locale.say("noAttempts") : locale.say("attempts", { n: locale.count(point?.n ?? 0) })),
        });
      case "help_requests_open":
        return new Figure(page, shown, {
          alarming: true,
          more: (point) => {
            const longestS = (point?.value ?? 0) > 0 ? (state.value(scope, "longest_wait_s")?.value ?? 0) : 0;
            return longestS > 0 ? locale.say("longestWait", { time: locale.length(longestS) }) : "";
          },
        });
      case "struggling_students":
        return new Figure(page, shown, { alarming: true });
      default:
        return new Figure(page, shown);
    }
  };
  return new Figures(which.map(figure), className);
}
