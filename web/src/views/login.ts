/** Where one says who one is. */

import { logIn, provider, refusalOf } from "../account.ts";
import { element, setText } from "../dom.ts";
import type { Main, Page } from "./page.ts";

export class LogInView implements Main {
  readonly root: HTMLElement;
  private readonly username: HTMLInputElement;
  private readonly password: HTMLInputElement;
  private readonly button: HTMLButtonElement;
  private readonly wrong = element("p", { role: "alert", class: "wrong", id: "log-in-wrong" });
  private shown = false;

  private readonly page: Page;
  private readonly done: () => void;

  constructor(page: Page, done: () => void) {
    this.page = page;
    this.done = done;
    const { texts } = page.locale;
    const named = { autocapitalize: "none", spellcheck: "false", "aria-describedby": "log-in-wrong", required: "" };
    this.username = element("input", { ...named, autocomplete: "username", maxlength: "64", "data-testid": "username" });
    this.password = element("input", {
      ...named,
      type: "password",
      autocomplete: "current-password",
      maxlength: "256",
      "data-testid": "password",
    });
    this.button = element("button", { type: "submit", class: "tool" }, texts.logIn);
    const form = element(
      "form",
      { class: "log-in" },
      element("label", {}, texts.username, this.username),
      element("label", {}, texts.password, this.password),
      this.wrong,
      this.button,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    const title = element("h1", { class: "view-title", tabindex: "-1" }, texts.logIn);
    this.root = element("div", { class: "view", "data-testid": "view:log-in" }, title, form);
    const refusal = refusalOf(location.search);
    if (refusal !== null) setText(this.wrong, texts[refusal]);
    void this.offer(form);
  }

  title(): string {
    return this.page.locale.texts.logIn;
  }

  update(): void {
    if (!this.shown) this.username.focus();
    this.shown = true;
  }

  destroy(): void {
    // Nothing is held.
  }

  /** A link to the provider, where there is one. */
  private async offer(form: HTMLFormElement): Promise<void> {
    try {
      const name = await provider();
      if (name === null) return;
      const address = new URL("api/v1/auth/oidc/start", document.baseURI).pathname;
      const words = this.page.locale.say("logInBy", { name });
      form.after(element("a", { class: "tool by-provider", href: address, "data-testid": "log-in-by" }, words));
    } catch (error) {
      console.warn("ways to log in:", error); // a password does
    }
  }

  private async submit(): Promise<void> {
    const { texts } = this.page.locale;
    this.button.disabled = true;
    setText(this.wrong, "");
    try {
      const answer = await logIn(this.username.value, this.password.value);
      if (answer === "done") {
        history.replaceState(history.state, "", location.pathname + location.hash); // an older refusal is over
        return this.done();
      }
      setText(this.wrong, answer === "wrong" ? texts.logInWrong : texts.logInWait);
    } catch (error) {
      console.warn("log-in:", error);
      setText(this.wrong, texts.logInSilence);
    }
    this.button.disabled = false;
    this.password.value = "";
    this.password.focus();
  }
}
