/** The one floating note of the page, for whatever has the pointer or the focus. */

import { element, setText } from "../dom.ts";

const GAP_PX = 8;
const ID = "tip";

export class Tip {
  readonly root = element("div", { class: "tip", id: ID, role: "tooltip", hidden: "" });
  private owner: HTMLElement | null = null;

  private readonly gone = new AbortController();

  constructor() {
    const { signal } = this.gone;
    const away = (): void => {
      if (this.owner !== null) this.hide(this.owner);
    };
    // As WCAG asks: what hovering shows can be sent away with a key.
    document.addEventListener("keydown", (event) => event.key === "Escape" && away(), { signal });
    window.addEventListener("scroll", away, { passive: true, signal });
  }

  /** Call when the page drops the note. */
  destroy(): void {
    this.gone.abort();
  }

  show(owner: HTMLElement, lines: readonly string[]): void {
    this.owner?.removeAttribute("aria-describedby");
    this.owner = owner;
    owner.setAttribute("aria-describedby", ID);
    this.root.replaceChildren(...lines.map((line) => element("p", {}, line)));
    this.root.hidden = false;
    const at = owner.getBoundingClientRect();
    const [width, height] = [this.root.offsetWidth, this.root.offsetHeight];
    const left = Math.max(
      GAP_PX,
      Math.min(at.left + at.width / 2 - width / 2, document.documentElement.clientWidth - width - GAP_PX),
    );
    const top = at.top - height - GAP_PX;
    this.root.style.left = `${left}px`;
    this.root.style.top = `${top < GAP_PX ? at.bottom + GAP_PX : top}px`;
  }

  /** New words where it is shown for this owner. */
  renew(owner: HTMLElement, lines: () => readonly string[]): void {
    if (owner !== this.owner) return;
    for (const [index, line] of lines().entries()) {
      const child = this.root.children[index];
      if (child !== undefined) setText(child, line);
    }
  }

  hide(owner: HTMLElement): void {
    if (owner !== this.owner) return;
    owner.removeAttribute("aria-describedby");
    this.owner = null;
    this.root.hidden = true;
  }
}
