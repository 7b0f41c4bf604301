/** The page put together: data in, at most four redraws a second out, and what the viewer chooses in between. */

import "uplot/dist/uPlot.min.css";
import "./style/ground.css";
import "./style/frame.css";
import "./style/views.css";
import "./style/students.css";
import "./style/oncall.css";
import "./style/projector.css";
import { logOut } from "./account.ts";
import { Feed } from "./feed.ts";
import { Locale, preferred, type Language } from "./i18n.ts";
import { deedOf } from "./keyboard.ts";
import { Names } from "./names.ts";
import { format, parse, samePlace, type Place, type Route } from "./route.ts";
import { Screen } from "./screen.ts";
import { keep, nextTheme, recall, type Settings } from "./settings.ts";
import type { Page } from "./views/page.ts";
import { Tip } from "./views/tip.ts";

const REDRAW_MS = 250;

const now = (): number => Date.now();
const shelf = (): Storage => localStorage;
const darkness = matchMedia("(prefers-color-scheme: dark)");
const names = new Names();
const feed = new Feed(redraw);

let settings = recall(shelf);
let route = parse(location.hash);
let drawnAtMs = 0;
let drawing: number | null = null;
let screen = build();

/** Makes the whole page in the present language and colours. */
function build(): Screen {
  const locale = new Locale(settings.language ?? preferred(navigator.languages));
  const dark = settings.theme === "dark" || (settings.theme === "auto" && darkness.matches);
  document.documentElement.lang = locale.language;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  const page: Page = {
    state: feed.state,
    locale,
    names,
    tip: new Tip(),
    series: (scope, metric) => feed.seriesOf(scope, metric),
    day: () => feed.day(),
    latency: () => feed.meter.latency,
    nowMs: now,
  };
  const choices = {
    language: (language: Language) => change({ language }),
    theme: () => change({ theme: nextTheme(settings.theme) }),
    names: () => change({ namesHidden: !settings.namesHidden }),
    projector: () => project(!route.projector),
    help: () => screen.shortcuts.toggle(),
    logOut: () =>
      void logOut().then(
        () => location.reload(),
        (error: unknown) => console.warn("log-out:", error),
      ),
  };
  return new Screen(page, settings, choices, (keys) => change({ keys }));
}

function draw(): void {
  names.meet(feed.state.students);
  const before = route;
  route = meant(route);
  if (!samePlace(before, route)) feed.look(route);
  screen.draw({ route, settings });
  if (route.view !== "student") return;
  const address = format({ ...route, id: names.addressOf(route.id) });
  if (location.hash !== address) history.replaceState(history.state, "", address);
}

/** A student's route by his id, whatever his address calls him. */
function meant(some: Route): Route {
  return some.view === "student" ? { ...some, id: names.meant(some.id) } : some;
}

/** Soon, but never more than four times a second, and not while nobody looks. */
function redraw(): void {
  if (drawing !== null || document.hidden) return;
  const ms = Math.max(0, drawnAtMs + REDRAW_MS - performance.now());
  drawing = window.setTimeout(() => {
    requestAnimationFrame(() => {
      drawing = null;
      drawnAtMs = performance.now();
      draw();
      // A task after the frame: by then it is painted.
      window.setTimeout(() => feed.meter.painted(now() + feed.state.clockAheadMs));
    });
  }, ms);
}

function change(some: Partial<Settings>): void {
  settings = { ...settings, ...some };
  keep(settings, shelf);
  if ("language" in some || "theme" in some) rebuild();
  else redraw();
}

/** What had the focus has it again, where the new page has it too. */
function rebuild(): void {
  const focused = document.activeElement?.getAttribute("data-testid") ?? null;
  screen.destroy();
  screen = build();
  draw();
  if (focused !== null) document.querySelector<HTMLElement>(`[data-testid="${CSS.escape(focused)}"]`)?.focus();
}

function go(place: Place): void {
  location.hash = format({ ...place, projector: route.projector && (place.view === "school" || place.view === "course") });
}

function project(projector: boolean): void {
  if (route.view === "school" || route.view === "course") location.hash = format({ ...route, projector });
}

document.addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement) return;
  const deed = deedOf(event, settings.keys);
  if (deed === null || (document.querySelector("dialog[open]") !== null && deed.deed !== "help")) return;
  switch (deed.deed) {
    case "help":
      screen.shortcuts.toggle();
      break;
    case "names":
      change({ namesHidden: !settings.namesHidden });
      break;
    case "projector":
      project(!route.projector);
      break;
    case "theme":
      change({ theme: nextTheme(settings.theme) });
      break;
    case "language":
      change({ language: document.documentElement.lang === "ja" ? "en" : "ja" });
      break;
    case "school":
    case "about":
      go({ view: deed.deed });
      break;
    case "oncall":
      if (feed.state.oncall) go({ view: deed.deed });
      break;
    case "course": {
      const course = feed.state.courses[deed.index];
      if (course !== undefined) go({ view: "course", id: course.courseId });
      break;
    }
    case "escape":
      // As WCAG asks: what hovering shows can be sent away with a key.
      if (!screen.dismiss()) project(false);
  }
  if (deed.deed !== "escape") event.preventDefault();
});

window.addEventListener("hashchange", () => {
  const before = route;
  route = meant(parse(location.hash));
  if (!samePlace(before, route)) feed.look(route);
  redraw();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    feed.meter.unseen();
    return;
  }
  feed.hurry();
  redraw();
});
window.addEventListener("online", () => feed.hurry());
darkness.addEventListener("change", () => {
  if (settings.theme === "auto") rebuild();
});
window.setInterval(redraw, 1_000); // ages and countdowns go on without news
draw();
feed.look(route);
feed.start();
