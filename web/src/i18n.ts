/** Japanese and English: every text the page shows, and how numbers and times are written. */

export type Language = "ja" | "en";
export const LANGUAGES: readonly { readonly code: Language; readonly name: string }[] = [
  { code: "ja", name: "日本語" },
  { code: "en", name: "English" },
];

const EN = {
  tagline: "Live classroom activity",
  language: "Language",
  activeNow: "Active now",
  activeNowHint: "students with at least one event in the last five minutes",
  eventsPerMinute: "Events / min",
  eventsPerMinuteHint: "events in the last 60 seconds",
  activeStudents: "Active",
  errorRate: "Error rate",
  errorRateShort: "Errors",
  errorRateHint: "failed attempts of all attempts in the last five minutes",
  attempts: "attempts: {n}",
  noAttempts: "no attempts",
  waiting: "Waiting for help",
  waitingShort: "Help",
  nobodyWaits: "Nobody is waiting for help",
  of: "of {n}",
  team: "Team",
  teams: "Teams",
  noTeam: "No team",
  students: "Students",
  elsewhere: "Students not on the roster",
  active: "active",
  activeSizes: "the larger, the more events in the last minute",
  idle: "quiet",
  isWaiting: "waiting for help",
  lastSeen: "last activity {ago}",
  neverSeen: "no activity yet",
  notOnRoster: "not on the roster",
  chart: "Events per minute, last 30 minutes",
  chartSummary: "{name}: events per minute over the last 30 minutes, between {low} and {high}, now {now}",
  chartUntil: "Events per minute, 30 minutes until {time}",
  chartEmpty: "No history yet",
  connecting: "Connecting",
  live: "Live",
  stale: "Updates paused",
  old: "Data is old",
  lost: "Connection lost",
  retryIn: "again in {seconds} s",
  retrying: "trying again",
  staleNotice: "The server has had no new values since {time}. It goes on by itself.",
  lostNotice: "No connection since {time}. The numbers below are from before; the page reconnects by itself.",
  oldNotice: "Connected, but nothing new since {time}: {courses}. The numbers are from then; it goes on by itself.",
  studentsOldNotice: "The students are shown as they were at {time}: the server is busy. It goes on by itself.",
  oldCourse: "last update {ago}",
  dataAge: "Newest data {ago}",
  dataOld: "Last update {ago}",
  dataOf: "Data of {time}",
  noData: "No data yet",
  empty: "Nobody is here yet",
  emptyHint: "Courses appear when a roster is imported or the first event arrives.",
  loading: "Loading …",
  truncated: "Only the first {n} students are shown.",
};

export type Texts = Readonly<Record<keyof typeof EN, string>>;

const JA: Texts = {
  tagline: "授業の今が見える",
  language: "言語",
  activeNow: "活動中の学生",
  activeNowHint: "直近 5 分間に活動があった学生",
  eventsPerMinute: "イベント / 分",
  eventsPerMinuteHint: "直近 60 秒間のイベント数",
  activeStudents: "活動中",
  errorRate: "エラー率",
  errorRateShort: "エラー",
  errorRateHint: "直近 5 分間の全試行のうち失敗した割合",
  attempts: "試行 {n} 回",
  noAttempts: "試行なし",
  waiting: "支援待ち",
  waitingShort: "支援",
  nobodyWaits: "支援を待っている学生はいません",
  of: "/ {n} 人",
  team: "チーム",
  teams: "チーム",
  noTeam: "チームなし",
  students: "学生",
  elsewhere: "名簿にない学生",
  active: "活動中",
  activeSizes: "大きいほど直近 1 分間のイベントが多い",
  idle: "静か",
  isWaiting: "支援待ち",
  lastSeen: "最後の活動 {ago}",
  neverSeen: "まだ活動なし",
  notOnRoster: "名簿外",
  chart: "1 分あたりのイベント数（直近 30 分）",
  chartSummary: "{name}：直近 30 分の 1 分あたりイベント数、最小 {low}、最大 {high}、現在 {now}",
  chartUntil: "1 分あたりのイベント数（{time} までの 30 分）",
  chartEmpty: "履歴はまだありません",
  connecting: "接続中",
  live: "ライブ",
  stale: "更新停止中",
  old: "データが古い",
  lost: "接続が切れました",
  retryIn: "{seconds} 秒後に再接続",
  retrying: "再接続中",
  staleNotice: "{time} 以降、サーバーに新しい値が届いていません。自動的に再開します。",
  lostNotice: "{time} から接続がありません。以下の数値はそれ以前のものです。自動的に再接続します。",
  oldNotice: "接続中ですが、{time} 以降新しい値がありません：{courses}。数値はその時点のものです。自動的に再開します。",
  studentsOldNotice: "学生の表示は {time} 時点のものです（サーバーが混雑しています）。自動的に再開します。",
  oldCourse: "最終更新 {ago}",
  dataAge: "最新データ {ago}",
  dataOld: "最終更新 {ago}",
  dataOf: "{time} のデータ",
  noData: "データなし",
  empty: "まだ誰もいません",
  emptyHint: "名簿を取り込むか最初のイベントが届くと、コースが表示されます。",
  loading: "読み込み中 …",
  truncated: "先頭の {n} 人だけを表示しています。",
};

const TEXTS: Readonly<Record<Language, Texts>> = { en: EN, ja: JA };

/** The first language we have of those the viewer prefers; English where there is none. */
export function preferred(languages: readonly string[]): Language {
  for (const language of languages) {
    const primary = language.toLowerCase().split("-")[0];
    if (primary === "ja" || primary === "en") return primary;
  }
  return "en";
}

const NAMED_MAX = 4; // in one sentence

export class Locale {
  readonly texts: Texts;
  private readonly whole: Intl.NumberFormat;
  private readonly percent: Intl.NumberFormat;
  private readonly clock: Intl.DateTimeFormat;
  private readonly minute: Intl.DateTimeFormat;
  private readonly date: Intl.DateTimeFormat;
  private readonly relative: Intl.RelativeTimeFormat;
  private readonly names: Intl.ListFormat;

  readonly language: Language;

  constructor(language: Language) {
    this.language = language;
    this.texts = TEXTS[language];
    const tag = language === "ja" ? "ja-JP" : "en-GB"; // en-GB for its 24-hour clock
    this.whole = new Intl.NumberFormat(tag, { maximumFractionDigits: 0 });
    this.percent = new Intl.NumberFormat(tag, { style: "percent", maximumFractionDigits: 0 });
    this.clock = new Intl.DateTimeFormat(tag, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    this.minute = new Intl.DateTimeFormat(tag, { hour: "2-digit", minute: "2-digit" });
    this.date = new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "short" });
    this.names = new Intl.ListFormat(tag, { style: "short", type: "conjunction" });
    this.relative = new Intl.RelativeTimeFormat(tag, { style: "narrow" });
  }

  /** A text with its {places} filled in. */
  say(key: keyof Texts, places: Readonly<Record<string, string | number>> = {}): string {
    return this.texts[key].replace(/\{(\w+)\}/g, (place, name: string) => String(places[name] ?? place));
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

const REMEMBERED_AS = "classpulse.language";

/** The viewer's choice on an earlier visit, if the browser kept it. */
export function remembered(): Language | null {
  try {
    const language = localStorage.getItem(REMEMBERED_AS);
    return language === "ja" || language === "en" ? language : null;
  } catch {
    return null; // storage may be forbidden
  }
}

export function remember(language: Language): void {
  try {
    localStorage.setItem(REMEMBERED_AS, language);
  } catch {
    // It is then the browser's language again next time.
  }
}
