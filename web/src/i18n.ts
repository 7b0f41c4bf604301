/** Japanese and English: which of them, and how texts, numbers and times are written. */

import { EN, KINDS_EN, METRICS_EN, type MetricText } from "./texts/en.ts";
import { JA, KINDS_JA, METRICS_JA } from "./texts/ja.ts";

export type Language = "ja" | "en";
export const LANGUAGES: readonly { readonly code: Language; readonly name: string }[] = [
  { code: "ja", name: "日本語" },
  { code: "en", name: "English" },
];

export type Texts = Readonly<Record<keyof typeof EN, string>>;
/** A number that the page explains. */
export type Explained = keyof typeof METRICS_EN;

interface Table {
  readonly texts: Texts;
  readonly metrics: Readonly<Record<Explained, MetricText>>;
  readonly kinds: Readonly<Record<string, string>>;
}

const TABLES: Readonly<Record<Language, Table>> = {
  en: { texts: EN, metrics: METRICS_EN, kinds: KINDS_EN },
  ja: { texts: JA, metrics: METRICS_JA, kinds: KINDS_JA },
};

/** The first language we have of those the viewer prefers; English where there is none. */
export function preferred(languages: readonly string[]): Language {
  for (const language of languages) {
    const primary = language.toLowerCase().split("-")[0];
    if (primary === "ja" || primary === "en") return primary;
  }
  return "en";
}

export type Places = Readonly<Record<string, string | number>>;

/** `text` with its {places} filled in. */
export function filled(text: string, places: Places): string {
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(places[name] ?? place));
}

const NAMED_MAX = 4; // in one sentence

export class Locale {
  readonly texts: Texts;
  readonly metrics: Readonly<Record<Explained, MetricText>>;
  readonly kinds: Readonly<Record<string, string>>;
  private readonly whole: Intl.NumberFormat;
  private readonly tenths: Intl.NumberFormat;
  private readonly percent: Intl.NumberFormat;
  private readonly hundredths: Intl.NumberFormat;
  private readonly tenthsOfSecond: Intl.NumberFormat;
  private readonly clock: Intl.DateTimeFormat;
  private readonly minute: Intl.DateTimeFormat;
  private readonly date: Intl.DateTimeFormat;
  private readonly relative: Intl.RelativeTimeFormat;
  private readonly lengths: Readonly<Record<"second" | "minute" | "hour", Intl.NumberFormat>>;
  private readonly names: Intl.ListFormat;

  readonly language: Language;

  constructor(language: Language) {
    this.language = language;
    ({ texts: this.texts, metrics: this.metrics, kinds: this.kinds } = TABLES[language]);
    const tag = language === "ja" ? "ja-JP" : "en-GB"; // en-GB for its 24-hour clock
    this.whole = new Intl.NumberFormat(tag, { maximumFractionDigits: 0 });
    this.tenths = new Intl.NumberFormat(tag, { maximumFractionDigits: 1 });
    this.percent = new Intl.NumberFormat(tag, { style: "percent", maximumFractionDigits: 0 });
    // Down: what is not whole is not shown as whole.
    this.hundredths = new Intl.NumberFormat(tag, { style: "percent", maximumFractionDigits: 2, roundingMode: "floor" });
    this.clock = new Intl.DateTimeFormat(tag, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    this.minute = new Intl.DateTimeFormat(tag, { hour: "2-digit", minute: "2-digit" });
    this.date = new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "short" });
    this.names = new Intl.ListFormat(tag, { style: "short", type: "conjunction" });
    this.relative = new Intl.RelativeTimeFormat(tag, { style: "narrow" });
    this.tenthsOfSecond = new Intl.NumberFormat(tag, {
      style: "unit",
      unit: "second",
      unitDisplay: "short",
      minimumFractionDigits: 1,
      maximumFractionDigits: 1,
    });
    const length = (unit: string): Intl.NumberFormat =>
      new Intl.NumberFormat(tag, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 0 });
    this.lengths = { second: length("second"), minute: length("minute"), hour: length("hour") };
  }

  /** A text with its {places} filled in. */
  say(key: keyof Texts, places: Places = {}): string {
    return filled(this.texts[key], places);
  }

  /** What one kind of activity is called; one that is new here by its own name. */
  kind(kind: string): string {
    return this.kinds[kind] ?? kind;
  }

  /** With a decimal, where there is one: a mean of counts. */
  mean(value: number): string {
    return this.tenths.format(value);
  }

  /** A share close to 1: "99.95%". */
  fine(value: number): string {
    return this.hundredths.format(value);
  }

  share(value: number): string {
    return this.percent.format(value);
  }

  /** A short time: "0.4 secs". */
  moment(ms: number): string {
    return this.tenthsOfSecond.format(ms / 1000);
  }

  count(value: number): string {
    return this.whole.format(value);
  }

  /** With n = 0 a rate says nothing. */
  rate(point: { readonly value: number; readonly n: number } | undefined): string {
    return point === undefined || point.n === 0 ? "–" : this.percent.format(point.value);
  }

  time(ms: number): string {
    return this.clock.format(ms);
  }

  hourMinute(ms: number): string {
    return this.minute.format(ms);
  }

  dateTime(ms: number): string {
    return this.date.format(ms);
  }

  /** "a, b and c"; of many the first few, and that there are more. */
  list(names: readonly string[]): string {
    return this.names.format(names.length <= NAMED_MAX ? names : [...names.slice(0, NAMED_MAX), "…"]);
  }

  /** How long: "75 secs", "6 mins". */
  length(seconds: number): string {
    const minutes = Math.round(seconds / 60);
    if (Math.round(seconds) < 90) return this.lengths.second.format(seconds);
    return minutes < 90 ? this.lengths.minute.format(minutes) : this.lengths.hour.format(minutes / 60);
  }

  /** "3s ago", "2 hr ago"; the future, which a producer's clock may bring, counts as now. */
  ago(ms: number): string {
    const seconds = Math.max(0, Math.round(ms / 1000));
    if (seconds < 90) return this.relative.format(-seconds, "second");
    const minutes = Math.round(seconds / 60);
    if (minutes < 90) return this.relative.format(-minutes, "minute");
    const hours = Math.round(minutes / 60);
    if (hours < 36) return this.relative.format(-hours, "hour");
    const days = Math.round(hours / 24);
    return days < 730 ? this.relative.format(-days, "day") : this.relative.format(-Math.round(days / 365.25), "year");
  }
}
