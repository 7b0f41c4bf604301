/** The view of what is not there, or not known yet. */

import { element, setText } from "../dom.ts";
import { format } from "../route.ts";
import type { Main, Page } from "./page.ts";

export class NobodyView implements Main {
  readonly root: HTMLElement;
  private readonly heading = element("h1", { class: "view-title", tabindex: "-1" });

  private readonly page: Page;
  private readonly words: string;

  /** `words`: what to say once it is known that there is none. */
  constructor(page: Page, words: string) {
    this.page = page;
    this.words = words;
    const back = element("a", { href: format({ view: "school" }) }, page.locale.texts.back);
    this.root = element("div", { class: "view empty" }, this.heading, element("p", {}, back));
  }

  title(): string {
    return this.page.state.overview === null ? this.page.locale.texts.loading : this.words;
  }

  update(): void {
    setText(this.heading, this.title());
  }

  destroy(): void {
    // Nothing is held.
  }
}
