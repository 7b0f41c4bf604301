/** The whole page in one language: the top, the view in the middle, and what floats above them. */

import { element, setText } from "./dom.ts";
import { Announcer } from "./announcing.ts";
import { waiting } from "./people.ts";
import { format, samePlace, type Route } from "./route.ts";
import type { Settings } from "./settings.ts";
import { AboutView } from "./views/about.ts";
import { CourseView } from "./views/course.ts";
import { Header, type Choices } from "./views/header.ts";
import { LogInView } from "./views/login.ts";
import { NobodyView } from "./views/nobody.ts";
import { OncallView } from "./views/oncall.ts";
import type { Main, Page } from "./views/page.ts";
import { ProjectorView } from "./views/projector.ts";
import { SchoolView } from "./views/school.ts";
import { ShortcutsDialog } from "./views/shortcuts.ts";
import { StudentView } from "./views/student.ts";

export interface Shown {
  readonly route: Route;
  readonly settings: Settings;
}

export class Screen {
  readonly shortcuts: ShortcutsDialog;
  private readonly header: Header;
  private readonly main = element("main", { id: "content", tabindex: "-1" });
  private readonly footnote = element("p", { class: "footnote" });
  private readonly said = element("p", { class: "unseen", role: "status", "data-testid": "announcement" });
  private readonly announcer = new Announcer();
  private view: { readonly main: Main; readonly key: string } | null = null;
  private route: Route | null = null;

  private readonly page: Page;

  constructor(page: Page, settings: Settings, choices: Choices, keysSwitched: (on: boolean) => void) {
    this.page = page;
    const { texts } = page.locale;
    this.header = new Header(page, settings.theme, choices);
    this.shortcuts = new ShortcutsDialog(page.locale, settings.keys, keysSwitched);
    const skip = element("a", { class: "skip", href: "#content" }, texts.skip);
    skip.addEventListener("click", (event) => {
      event.preventDefault(); // # is where the viewer is
      this.main.focus();
    });
    const legend = element("p", { class: "footnote" }, texts.legendStates);
    const foot = element("footer", {}, this.footnote, legend, this.said);
    document.body.replaceChildren(
      skip,
      this.header.root,
      this.header.connection.notice,
      this.main,
      foot,
      page.tip.root,
      this.shortcuts.root,
    );
  }

  draw({ route, settings }: Shown): void {
    const { page } = this;
    const { state, locale } = page;
    const nowMs = page.nowMs();
    page.names.hidden = settings.namesHidden || route.projector;
    page.names.meet(state.students);
    document.body.dataset.connection = state.condition(nowMs);
    document.body.toggleAttribute("data-projector", route.projector);
    this.header.update(route, page.names.hidden);
    const view = this.viewOf(route);
    view.update();
    document.title = `${view.title()} · ClassPulse`;
    setText(this.footnote, state.overview?.truncated === true ? locale.say("truncated", { n: locale.count(state.students.length) }) : "");
    const number = this.announcer.next(waiting(state), nowMs);
    if (number !== null) setText(this.said, locale.say("announceWaiting", { n: locale.count(number) }));
  }

  /** The note that floats goes. Returns whether there was one. */
  dismiss(): boolean {
    return this.page.tip.dismiss();
  }

  destroy(): void {
    this.view?.main.destroy();
    this.page.tip.dismiss();
    this.page.tip.destroy();
  }

  /** The view of this route; another one than before is made anew, and then has the focus. */
  private viewOf(route: Route): Main {
    const [key, make] = this.choose(route);
    if (this.view !== null && this.view.key === key) return this.view.main;
    this.page.tip.dismiss();
    this.view?.main.destroy();
    const main = make();
    this.main.replaceChildren(main.root);
    this.view = { main, key };
    // Who arrives begins at the top; who follows a link begins at what it led to.
    const moved = this.route !== null && !samePlace(this.route, route);
    this.route = route;
    if (moved) {
      window.scrollTo(0, 0);
      main.root.querySelector<HTMLElement>(".view-title")?.focus({ preventScroll: true });
    }
    return main;
  }

  private choose(route: Route): [string, () => Main] {
    const { page } = this;
    const { state, locale } = page;
    const at = format(route);
    const missing = (words: string): [string, () => Main] => [`${at} missing`, () => new NobodyView(page, words)];
    if (state.stranger) return ["log-in", () => new LogInView(page, () => location.reload())];
    if (route.view === "about") return [at, () => new AboutView(page)];
    if (route.view === "oncall") return [at, () => new OncallView(page)];
    if (route.view === "student") {
      const student = state.student(route.id);
      return student === undefined ? missing(locale.texts.unknownStudent) : [at, () => new StudentView(page, student)];
    }
    if (route.view === "course") {
      const course = state.course(route.id);
      if (course === undefined) return missing(locale.texts.unknownCourse);
      return [at, () => (route.projector ? new ProjectorView(page, route.id) : new CourseView(page, course))];
    }
    return [at, () => (route.projector ? new ProjectorView(page, null) : new SchoolView(page))];
  }
}
