/** Where the page's data comes from: the overview every few seconds, live frames between, history where it is drawn. */

import * as account from "./account.ts";
import * as api from "./api.ts";
import type { HistoryPoint } from "./api.ts";
import { dayStartMs } from "./day.ts";
import type { Frame, Metric } from "./frames.ts";
import { LatencyMeter } from "./latency.ts";
import { browser, LiveClient } from "./live.ts";
import * as polling from "./polling.ts";
import type { Place } from "./route.ts";
import { Series, SPAN_MS } from "./series.ts";
import { State } from "./state.ts";
import { CHARTED } from "./views/half_hour.ts";

const POLL_SOON_MS = 2_500; // after a live value says that somebody came, left, or gets on better or worse
const POLL_NOW_MS = 300; // after one says that somebody asks for help, or was helped
const POLL_GAP_MS = 1_000; // from the end of a poll to the next, however much happens
const PIPELINE_MS = 5_000; // where it does not come live
const REPORT_MS = 10_000; // how long updates took, for the gateway
const HISTORY_MS = 5 * 60_000; // late events correct minutes that are already drawn
const DAY_MS = 60_000; // a student's day is drawn by the minute
const HISTORY_SOON_MS = 20_000; // history failed, or had not caught up with what is seen live
const HISTORY_SPAN_MS = SPAN_MS + 60_000; // a window starts a minute before it ends

/** What of a scope's numbers tells that the students should be asked for. */
const WAITING: readonly Metric[] = ["help_requests_open"];
const PEOPLE: readonly Metric[] = ["active_students", "idle_students", "struggling_students"];

export class Feed {
  readonly state = new State();
  readonly meter = new LatencyMeter();
  private readonly series = new Map<string, Series>();
  private readonly dueMs = new Map<string, number>(); // of each history, by its key
  private loading = false;
  private dayOf: { readonly studentId: string; readonly points: readonly HistoryPoint[] } | null = null;
  private pollTimer = 0;
  private pollDueMs = 0;
  private pollNotBeforeMs = 0;
  private asking = false;
  private pipelineSeenAtMs = 0; // by our clock
  private pipelineDueMs = 0;
  private met = false; // it was asked who is logged in
  private polls = polling.FIRST;
  private lostSinceMs: number | null = null;
  private readonly live: LiveClient;

  private readonly changed: () => void;

  /** `changed` is called whenever there may be something new to draw. */
  constructor(changed: () => void) {
    this.changed = changed;
    this.live = new LiveClient(
      {
        opening: () => this.opening(),
        frame: (frame) => this.take(frame),
        lost: (retryInMs, reason) => this.lost(retryInMs, reason),
      },
      browser,
    );
  }

  start(): void {
    void this.poll();
    window.setInterval(() => this.report(), REPORT_MS);
    window.setInterval(() => void this.askPipeline(), 1_000);
  }

  /** The viewer looks at something else: what belongs to it is asked for. */
  look(place: Place): void {
    this.state.focus = place;
    if (this.state.overview === null && place.view !== "oncall") return;
    this.live.watch(this.state.scopes);
    void this.loadHistory();
  }

  /** The network or the viewer came back. */
  hurry(): void {
    this.live.hurry();
    this.pollWithin(0);
  }

  seriesOf(scope: string, metric: Metric): Series {
    const key = `${scope} ${metric}`;
    let held = this.series.get(key);
    if (held === undefined) {
      held = new Series(metric === "error_rate");
      this.series.set(key, held);
    }
    return held;
  }

  /** The minutes of the student in view; null while they are not known. */
  day(): readonly HistoryPoint[] | null {
    const { focus } = this.state;
    return focus.view === "student" && this.dayOf?.studentId === focus.id ? this.dayOf.points : null;
  }

  private report(): void {
    const measured = this.live.tells ? this.meter.report() : null;
    if (measured !== null) this.live.tell(measured);
  }

  private opening(): void {
    const { state } = this;
    state.unsubscribe();
    // A new scope is no reason for alarm, and a lost connection stays lost until it is back.
    if (this.lostSinceMs === null && state.connection.kind !== "live") state.connection = { kind: "connecting" };
    this.changed();
  }

  private lost(retryInMs: number, reason: string): void {
    console.warn(`live connection lost: ${reason}`);
    const nowMs = Date.now();
    this.state.unsubscribe();
    this.lostSinceMs ??= nowMs;
    this.state.connection = { kind: "lost", sinceMs: this.lostSinceMs, retryAtMs: nowMs + retryInMs };
    this.changed();
  }

  private take(frame: Frame): void {
    const { state } = this;
    const values = (metrics: readonly Metric[]): string =>
      frame.type === "error" ? "" : metrics.map((metric) => state.value(frame.scope, metric)?.value).join();
    const before = { waiting: values(WAITING), people: values(PEOPLE) };
    if (!state.takeFrame(frame, Date.now())) return;
    if ("pipeline" in frame) this.pipelineSeenAtMs = Date.now();
    const { staleSinceMs } = state;
    if (staleSinceMs !== null) {
      state.connection = { kind: "stale", sinceMs: staleSinceMs };
    } else if (state.connection.kind !== "live" && state.covers(state.scopes)) {
      state.connection = { kind: "live" };
      this.lostSinceMs = null;
      this.dueMs.clear(); // minutes may have passed unseen
      this.pollWithin(0);
    }
    this.meter.take(frame, Date.now() + state.clockAheadMs);
    if (document.hidden) this.meter.unseen();
    if ((frame.type === "snapshot" || frame.type === "update") && frame.scope.startsWith("course:")) {
      for (const point of frame.values) {
        const metric = CHARTED.find((each) => each === point.metric);
        if (metric !== undefined) this.seriesOf(frame.scope, metric).takeLive(point);
      }
    }
    if (values(WAITING) !== before.waiting) this.pollWithin(POLL_NOW_MS);
    else if (values(PEOPLE) !== before.people) this.pollWithin(POLL_SOON_MS);
    this.changed();
  }

  private async poll(): Promise<void> {
    if (this.asking || this.state.stranger) return;
    this.asking = true;
    window.clearTimeout(this.pollTimer);
    const { state } = this;
    let failure: unknown = null;
    const askedAt = performance.now();
    try {
      const overview = await api.overview();
      state.takeOverview(overview, Date.now(), performance.now() - askedAt);
    } catch (error) {
      console.warn("overview:", error);
      failure = error;
      if (error instanceof polling.StrangerError) return this.leave();
    }
    this.asking = false;
    const next = polling.next(this.polls, failure, Date.now(), Math.random());
    this.polls = next.polling;
    state.refusedSinceMs = this.polls.refusedSinceMs;
    this.pollDueMs = Infinity;
    this.pollNotBeforeMs = Date.now() + Math.max(POLL_GAP_MS, next.leastMs);
    this.pollWithin(next.waitMs);
    this.meet();
    if (failure === null) {
      this.live.watch(state.scopes);
      void this.loadHistory();
    } else if (next.abandon) {
      this.live.abandon("the gateway does not answer");
    }
    if (state.scopes.length === 0) this.unwatched();
    this.changed();
  }

  /** Nothing more is asked until somebody logs in, which loads the page anew. */
  private leave(): void {
    this.state.stranger = true;
    this.live.watch([]);
    this.changed();
  }

  /** Only while it is looked at, and does not come live. */
  private async askPipeline(): Promise<void> {
    const { state } = this;
    const nowMs = Date.now();
    if (state.focus.view !== "oncall" || !state.oncall || state.stranger || document.hidden) return;
    if (nowMs < this.pipelineDueMs || nowMs - this.pipelineSeenAtMs < PIPELINE_MS) return;
    this.pipelineDueMs = nowMs + 2 * PIPELINE_MS; // while it is asked
    let waitMs = PIPELINE_MS;
    try {
      state.pipeline = await api.pipeline();
      this.changed();
    } catch (error) {
      console.warn("pipeline:", error);
      if (error instanceof polling.RefusedError) waitMs = Math.max(waitMs, error.retryAfterMs ?? 0);
    }
    this.pipelineDueMs = Date.now() + Math.round(waitMs * (0.8 + Math.random() * 0.4));
  }

  /** Once. */
  private meet(): void {
    if (this.met) return;
    this.met = true;
    void account.me().then(
      ({ name, oncall }) => {
        this.state.who = name;
        this.state.oncall = oncall;
        if (this.state.focus.view === "oncall") this.look(this.state.focus);
        this.changed();
      },
      (error: unknown) => {
        console.warn("me:", error);
        this.met = false;
      },
    );
  }

  /** Nothing to subscribe to: the connection is as the polls are. */
  private unwatched(): void {
    const { state } = this;
    const { silences, refusedSinceMs } = this.polls;
    if (silences > 0) {
      this.lostSinceMs ??= Date.now();
      state.connection = { kind: "lost", sinceMs: this.lostSinceMs, retryAtMs: this.pollDueMs };
      return;
    }
    this.lostSinceMs = null;
    state.connection = refusedSinceMs === null ? { kind: "live" } : { kind: "stale", sinceMs: refusedSinceMs };
  }

  /** The next poll is no later than in `ms`; one that is due earlier stays. */
  private pollWithin(ms: number): void {
    const dueMs = Math.max(Date.now() + ms, this.pollNotBeforeMs);
    if (this.asking || this.state.stranger || dueMs >= this.pollDueMs) return;
    window.clearTimeout(this.pollTimer);
    this.pollDueMs = dueMs;
    this.pollTimer = window.setTimeout(() => void this.poll(), dueMs - Date.now());
  }

  /** Every history that is drawn and due, one at a time. */
  private async loadHistory(): Promise<void> {
    if (this.loading) return; // what is due then is asked for after the next poll
    this.loading = true;
    for (const { scope, metric } of this.wanted()) {
      const key = `${scope} ${metric}`;
      if (Date.now() < (this.dueMs.get(key) ?? 0)) continue;
      try {
        this.dueMs.set(key, Date.now() + (await this.load(scope, metric)));
      } catch (error) {
        console.warn("history:", error); // the chart then begins with what is seen live
        const leastMs = error instanceof polling.RefusedError ? error.retryAfterMs : null;
        this.dueMs.set(key, Date.now() + Math.max(HISTORY_SOON_MS, leastMs ?? 0));
        if (leastMs !== null) break; // the next one would only be refused, too
      }
      this.changed();
    }
    this.loading = false;
  }

  /** What is drawn in view, before what is not. */
  private wanted(): { readonly scope: string; readonly metric: Metric }[] {
    const { focus, courses } = this.state;
    const [first = "events_per_minute"] = CHARTED;
    if (focus.view === "student") return [{ scope: `student:${focus.id}`, metric: first }];
    if (focus.view === "course") return CHARTED.map((metric) => ({ scope: `course:${focus.id}`, metric }));
    return focus.view === "school" ? courses.map(({ scope }) => ({ scope, metric: first })) : [];
  }

  /** Returns in how many ms it should be asked for again. */
  private async load(scope: string, metric: Metric): Promise<number> {
    const { ms } = this.state.eventNowMs(scope, Date.now());
    if (scope.startsWith("student:")) {
      const points = await api.history(scope, metric, dayStartMs(ms), ms);
      this.dayOf = { studentId: scope.slice("student:".length), points };
      return DAY_MS;
    }
    const series = this.seriesOf(scope, metric);
    series.takeHistory(await api.history(scope, metric, ms - HISTORY_SPAN_MS, ms));
    return series.tornOff ? HISTORY_SOON_MS : HISTORY_MS;
  }
}
