/** How each number is written, and what a note beside it says. Pure. */

import { filled, type Explained, type Locale } from "./i18n.ts";
import type { Finality, Point } from "./frames.ts";
import { isLongAgo } from "./freshness.ts";

type Form = "count" | "rate" | "share" | "mean" | "length";

const FORMS: Readonly<Partial<Record<Explained, Form>>> = {
  error_rate: "rate",
  score_mean: "rate",
  team_score: "rate",
  participation_balance: "share",
  attempts_per_task: "mean",
  longest_wait_s: "length",
  active_s: "length",
  time_on_task_s: "length",
};

export const MARKS: Readonly<Record<Finality, string>> = { provisional: "~", final: "✓", corrected: "✎" };

/** What the pipelines have not said is a dash, and not 0. */
export function written(locale: Locale, name: Explained, point: Point | undefined): string {
  if (point === undefined) return "–";
  const form = FORMS[name] ?? "count";
  return form === "rate" ? locale.rate(point) : writtenAs(locale, form, point.value);
}

/** A value without the events behind it, as a chart has it. */
export function writtenValue(locale: Locale, name: Explained, value: number): string {
  const form = FORMS[name] ?? "count";
  return writtenAs(locale, form === "rate" ? "share" : form, value);
}

function writtenAs(locale: Locale, form: Exclude<Form, "rate">, value: number): string {
  return locale[form](value);
}

/** What it is, how it is counted, how true it is, and how final and how old this one is. */
export function explained(locale: Locale, name: Explained, point: Point | undefined, ageMs: number): string[] {
  const { label, what, formula, truth } = locale.metrics[name];
  const lines = [label, what, locale.say("formula", { formula }), locale.say("truth", { truth })];
  if (point === undefined) return [...lines, locale.say("notSaid")];
  const time = (ms: number): string => (isLongAgo(ageMs) ? locale.dateTime(ms) : locale.time(ms));
  const endMs = point.startMs + point.windowS * 1000;
  return [
    ...lines,
    locale.say(point.state),
    locale.say("asOf", { time: time(point.asOfMs), ago: locale.ago(ageMs) }),
    locale.say("window", { from: time(point.startMs), to: time(endMs), n: locale.count(point.n) }),
  ];
}

/** How fast events come, in a note's words. */
export function explainedLatency(locale: Locale, doubtMs: number): string[] {
  const { label, what, formula, truth } = locale.metrics.latency;
  const doubt = locale.moment(doubtMs);
  return [label, what, locale.say("formula", { formula }), locale.say("truth", { truth: filled(truth, { doubt }) })];
}
