/** The page put together: the overview every few seconds, live frames between, at most four redraws a second. */

import "uplot/dist/uPlot.min.css";
import "./style.css";
import * as api from "./api.ts";
import type { Course } from "./api.ts";
import { element, KeyedList, setText } from "./dom.ts";
import type { Frame, Metric } from "./frames.ts";
import { Locale, preferred, remember, remembered, type Language } from "./i18n.ts";
import { browser, LiveClient } from "./live.ts";
import * as polling from "./polling.ts";
import { Series, SPAN_MS } from "./series.ts";
import { State, strays } from "./state.ts";
import { CourseView } from "./views/course.ts";
import type { Page } from "./views/page.ts";
import { Header } from "./views/header.ts";
import { StudentMap } from "./views/students.ts";
import { Tip } from "./views/tip.ts";

const REDRAW_MS = 250;
const POLL_SOON_MS = 2_500; // after a live value says that somebody came or left
const POLL_NOW_MS = 300; // after one says that somebody asks for help, or was helped
const POLL_GAP_MS = 1_000; // from the end of a poll to the next, however much happens
const HISTORY_MS = 5 * 60_000; // late events correct minutes that are already drawn
const HISTORY_SOON_MS = 20_000; // history failed, or had not caught up with what is seen live
const HISTORY_SPAN_MS = SPAN_MS + 60_000; // a window starts a minute before it ends

const state = new State();
const series = new Map<string, Series>();
const now = (): number => Date.now();

let locale = new Locale(remembered() ?? preferred(navigator.languages));
let screen = build();
let drawnAtMs = 0;
let drawing: number | null = null;
let pollTimer = 0;
let pollDueMs = 0;
let pollNotBeforeMs = 0;
let asking = false;
let polls = polling.FIRST;
let historyDueMs = 0;
let lostSinceMs: number | null = null;

const live = new LiveClient(
  {
    opening() {
      state.unsubscribe();
      // A new scope is no reason for alarm, and a lost connection stays lost until it is back.
      if (lostSinceMs === null && state.connection.kind !== "live") state.connection = { kind: "connecting" };
      redraw();
    },
    frame(frame) {
      const before = people(frame);
      if (state.takeFrame(frame, now())) taken(frame, before);
    },
    lost(retryInMs, reason) {
      console.warn(`live connection lost: ${reason}`);
      state.unsubscribe();
      lostSinceMs ??= now();
      state.connection = { kind: "lost", sinceMs: lostSinceMs, retryAtMs: now() + retryInMs };
      redraw();
    },
  },
  browser,
);

interface People {
  readonly active: number | undefined;
  readonly waiting: number | undefined;
}

/** What the scope of the frame says of its students. */
function people(frame: Frame): People {
  if (frame.type === "error") return { active: undefined, waiting: undefined };
  const value = (metric: Metric): number | undefined => state.value(frame.scope, metric)?.value;
  return { active: value("active_students"), waiting: value("help_requests_open") };
}

function taken(frame: Frame, before: People): void {
  const { staleSinceMs } = state;
  if (staleSinceMs !== null) {
    state.connection = { kind: "stale", sinceMs: staleSinceMs };
  } else if (state.connection.kind !== "live" && state.covers(state.scopes)) {
    state.connection = { kind: "live" };
    lostSinceMs = null;
    historyDueMs = 0; // minutes may have passed unseen
    pollWithin(0);
  }
  if (frame.type === "snapshot" || frame.type === "update") {
    for (const point of frame.values) if (point.metric === "events_per_minute") seriesOf(frame.scope).takeLive(point);
    const after = people(frame);
    if (after.waiting !== before.waiting) pollWithin(POLL_NOW_MS);
    else if (after.active !== before.active) pollWithin(POLL_SOON_MS);
  }
  redraw();
}

async function poll(): Promise<void> {
  if (asking) return;
  asking = true;
  window.clearTimeout(pollTimer);
  let failure: unknown = null;
  try {
    state.takeOverview(await api.overview(), now());
  } catch (error) {
    console.warn("overview:", error);
    failure = error;
  }
  asking = false;
  const next = polling.next(polls, failure, now(), Math.random());
  polls = next.polling;
  state.refusedSinceMs = polls.refusedSinceMs;
  pollDueMs = Infinity;
  pollNotBeforeMs = now() + Math.max(POLL_GAP_MS, next.leastMs);
  pollWithin(next.waitMs);
  if (failure === null) {
    live.watch(state.scopes);
    if (now() >= historyDueMs) void loadHistory();
  } else if (next.abandon) {
    live.abandon("the gateway does not answer");
  }
  if (state.scopes.length === 0) unwatched();
  redraw();
}

/** Nothing to subscribe to: the connection is as the polls are. */
function unwatched(): void {
  if (polls.silences > 0) {
    lostSinceMs ??= now();
    state.connection = { kind: "lost", sinceMs: lostSinceMs, retryAtMs: pollDueMs };
    return;
  }
  lostSinceMs = null;
  const { refusedSinceMs } = polls;
  state.connection = refusedSinceMs === null ? { kind: "live" } : { kind: "stale", sinceMs: refusedSinceMs };
}

/** The next poll is no later than in `ms`; one that is due earlier stays. */
function pollWithin(ms: number): void {
  const dueMs = Math.max(now() + ms, pollNotBeforeMs);
  if (asking || dueMs >= pollDueMs) return;
  window.clearTimeout(pollTimer);
  pollDueMs = dueMs;
  pollTimer = window.setTimeout(() => void poll(), dueMs - now());
}

async function loadHistory(): Promise<void> {
  historyDueMs = now() + HISTORY_MS;
  for (const { scope } of state.courses) {
    const toMs = state.eventNowMs(scope, now()).ms;
    try {
      seriesOf(scope).takeHistory(await api.eventsPerMinute(scope, toMs - HISTORY_SPAN_MS, toMs));
    } catch (error) {
      console.warn("history:", error); // the chart then begins with what is seen live
      const leastMs = error instanceof polling.RefusedError ? error.retryAfterMs : null;
      historyDueMs = now() + Math.max(HISTORY_SOON_MS, leastMs ?? 0);
      if (leastMs !== null) break; // the next course would only be refused, too
    }
    if (seriesOf(scope).tornOff) historyDueMs = now() + HISTORY_SOON_MS;
  }
  redraw();
}

function seriesOf(scope: string): Series {
  let held = series.get(scope);
  if (held === undefined) {
    held = new Series();
    series.set(scope, held);
  }
  return held;
}

/** Soon, but never more than four times a second, and not while nobody looks. */
function redraw(): void {
  if (drawing !== null || document.hidden) return;
  const ms = Math.max(0, drawnAtMs + REDRAW_MS - performance.now());
  drawing = window.setTimeout(() => {
    requestAnimationFrame(() => {
      drawing = null;
      drawnAtMs = performance.now();
      screen.draw();
    });
  }, ms);
}

interface Screen {
  draw(): void;
  destroy(): void;
}

/** Makes the whole page in the present language. */
function build(): Screen {
  document.documentElement.lang = locale.language;
  const tip = new Tip();
  const page: Page = { state, locale, tip, series: seriesOf, nowMs: now };
  const header = new Header(locale, choose);
  const grid = element("div", { class: "courses" });
  const views = new Map<string, CourseView>();
  const courses = new KeyedList<Course>(
    grid,
    (course) => course.scope,
    (course) => {
      const view = new CourseView(page, course);
      views.set(course.scope, view);
      return view;
    },
  );
  const others = new StudentMap(page, locale.texts.elsewhere);
  others.root.classList.add("card");
  const [title, hint] = [element("h2"), element("p")];
  const empty = element("div", { class: "empty" }, title, hint);
  const truncated = element("p", { class: "footnote" });
  const main = element("main", {}, empty, grid, others.root, truncated);
  document.body.replaceChildren(header.root, header.notice, main, tip.root);

  function draw(): void {
    header.update(state, now());
    document.body.dataset.connection = state.condition(now());
    courses.update(state.courses);
    for (const [scope, view] of views) {
      if (view.root.isConnected) continue;
      view.destroy();
      views.delete(scope);
    }
    const elsewhere = strays(state);
    others.root.hidden = elsewhere.length === 0;
    others.update([{ teamId: null, name: null, students: elsewhere }]);
    empty.hidden = state.courses.length > 0;
    setText(title, state.overview === null ? locale.texts.loading : locale.texts.empty);
    setText(hint, state.overview === null ? "" : locale.texts.emptyHint);
    truncated.hidden = state.overview?.truncated !== true;
    setText(truncated, locale.say("truncated", { n: locale.count(state.students.length) }));
  }

  function destroy(): void {
    for (const view of views.values()) view.destroy();
    tip.destroy();
  }

  return { draw, destroy };
}

function choose(language: Language): void {
  remember(language);
  locale = new Locale(language);
  screen.destroy();
  screen = build();
  screen.draw();
  document.querySelector<HTMLElement>(`[data-testid="language:${language}"]`)?.focus();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  live.hurry();
  pollWithin(0);
  redraw();
});
window.addEventListener("online", () => {
  live.hurry();
  pollWithin(0);
});
window.setInterval(redraw, 1_000); // ages and countdowns go on without news
screen.draw();
void poll();
