/** The top of the page: where the viewer is, how the connection is, and how the page is shown. */

import { element, setAttribute, setText } from "../dom.ts";
import { LANGUAGES, type Language } from "../i18n.ts";
import { format, type Place, type Route } from "../route.ts";
import type { Theme } from "../settings.ts";
import { ConnectionView } from "./connection.ts";
import type { Page } from "./page.ts";

const THEME_GLYPHS: Readonly<Record<Theme, string>> = { auto: "◐", light: "☀", dark: "☾" };
const THEME_WORDS = { auto: "themeAuto", light: "themeLight", dark: "themeDark" } as const;

/** What the buttons do. */
export interface Choices {
  language(language: Language): void;
  theme(): void;
  names(): void;
  projector(): void;
  help(): void;
  logOut(): void;
}

export class Header {
  readonly root: HTMLElement;
  readonly connection: ConnectionView;
  private readonly trail = element("ol");
  private readonly about: HTMLElement;
  private readonly oncall: HTMLElement;
  private readonly names: HTMLButtonElement;
  private readonly projector: HTMLButtonElement;
  private readonly who = element("span", { class: "who", "data-testid": "who" });
  private readonly logOut: HTMLButtonElement;

  private readonly page: Page;

  constructor(page: Page, theme: Theme, choices: Choices) {
    this.page = page;
    const { texts, language } = page.locale;
    this.connection = new ConnectionView(page);
    const languages = LANGUAGES.map(({ code, name }) => {
      const pressed = String(code === language);
      const button = element(
        "button",
        { type: "button", lang: code, "aria-pressed": pressed, "data-testid": `language:${code}` },
        name,
      );
      button.addEventListener("click", () => choices.language(code));
      return button;
    });
    this.names = tool("names", "n", texts.names, choices.names);
    this.projector = tool("projector", "p", texts.projector, choices.projector);
    this.logOut = element("button", { type: "button", class: "tool", "data-testid": "log-out" }, texts.logOut);
    this.logOut.addEventListener("click", choices.logOut);
    const themed = tool("theme", "t", `${texts.theme}: ${texts[THEME_WORDS[theme]]}`, choices.theme, THEME_GLYPHS[theme]);
    this.about = element("a", { class: "about-link", href: format({ view: "about" }) }, texts.about);
    this.oncall = element(
      "a",
      { class: "about-link", href: format({ view: "oncall" }), "data-testid": "oncall-link" },
      texts.oncall,
    );
    const brand = element("a", { class: "brand", href: format({ view: "school" }) });
    brand.append(element("span", { class: "mark", "aria-hidden": "true" }), element("span", {}, "ClassPulse"));
    this.root = element(
      "header",
      { class: "top" },
      brand,
      element("nav", { "aria-label": texts.navigation }, this.trail, this.oncall, this.about),
      this.connection.root,
      element(
        "div",
        { class: "tools", role: "group", "aria-label": texts.tools },
        element("div", { class: "languages", role: "group", "aria-label": texts.language }, ...languages),
        themed,
        this.names,
        this.projector,
        tool("help", "?", texts.shortcuts, choices.help, "⌨"),
        this.who,
        this.logOut,
      ),
    );
  }

  update(route: Route, namesHidden: boolean): void {
    const { page } = this;
    this.connection.update(page.state, page.latency(), page.nowMs());
    setAttribute(this.names, "aria-pressed", String(namesHidden));
    setAttribute(this.projector, "aria-pressed", String(route.projector));
    this.projector.disabled = route.view !== "school" && route.view !== "course";
    const { who } = page.state;
    setText(this.who, who ?? "");
    this.who.hidden = this.logOut.hidden = who === null || page.state.stranger;
    setAttribute(this.about, "aria-current", route.view === "about" ? "page" : null);
    this.oncall.hidden = !page.state.oncall || page.state.stranger;
    setAttribute(this.oncall, "aria-current", route.view === "oncall" ? "page" : null);
    this.follow(route);
  }

  /** From the school to where the viewer is; the last step is no link. */
  private follow(route: Route): void {
    const { state, locale, names } = this.page;
    const steps: [string, Place][] = [[locale.texts.school, { view: "school" }]];
    const student = route.view === "student" ? state.student(route.id) : undefined;
    const courseId = route.view === "course" ? route.id : student?.enrolments[0]?.courseId;
    if (courseId !== undefined) steps.push([state.course(courseId)?.name ?? courseId, { view: "course", id: courseId }]);
    if (student !== undefined) steps.push([names.of(student, locale), { view: "student", id: names.addressOf(student.studentId) }]);
    while (this.trail.children.length > steps.length) this.trail.lastElementChild?.remove();
    for (const [index, [name, place]] of steps.entries()) {
      let link = this.trail.children[index]?.firstElementChild;
      if (link == null) {
        link = element("a");
        this.trail.append(element("li", {}, link));
      }
      setText(link, name);
      setAttribute(link, "href", format(place));
      const here = index === steps.length - 1 && route.view === place.view;
      setAttribute(link, "aria-current", here ? "page" : null);
    }
  }
}

/** A button that shows the key which does the same; its words give way where there is no room. */
function tool(testId: string, key: string, words: string, act: () => void, glyph = ""): HTMLButtonElement {
  const said = element("span", { class: glyph === "" ? "words" : "unseen" }, words);
  const button = element("button", { type: "button", class: "tool", title: words, "data-testid": testId });
  button.append(element("kbd", { "aria-hidden": "true" }, key), said, element("span", { "aria-hidden": "true" }, glyph));
  button.addEventListener("click", act);
  return button;
}
