/** The one floating note of the page, for whatever has the pointer or the focus. */

import { element, setText } from "../dom.ts";

const GAP_PX = 8;
const ID = "tip";

export class Tip {
  readonly root = element("div", { class: "tip", id: ID, role: "tooltip", hidden: "" });
  private owner: HTMLElement | null = null;
  private lines: () => readonly string[] = () => [];

  private readonly gone = new AbortController();

  constructor() {
    const { signal } = this.gone;
    window.addEventListener("scroll", () => this.dismiss(), { passive: true, signal });
  }

  /** Call when the page drops the note. */
  destroy(): void {
    this.gone.abort();
  }

  /** `lines` is what is said of `owner` while it has the pointer or the focus, or when it is touched. */
  explain(owner: HTMLElement, lines: () => readonly string[]): void {
    const show = (): void => this.show(owner, lines);
    for (const event of ["pointerenter", "focus", "click"]) owner.addEventListener(event, show);
    for (const event of ["pointerleave", "blur"]) owner.addEventListener(event, () => this.hide(owner));
  }

  private show(owner: HTMLElement, lines: () => readonly string[]): void {
    this.owner?.removeAttribute("aria-describedby");
    this.owner = owner;
    this.lines = lines;
    owner.setAttribute("aria-describedby", ID);
    this.root.replaceChildren(...lines().map((line) => element("p", {}, line)));
    this.root.hidden = false;
    const at = owner.getBoundingClientRect();
    const [width, height] = [this.root.offsetWidth, this.root.offsetHeight];
    const left = Math.max(
      GAP_PX,
      Math.min(at.left + at.width / 2 - width / 2, document.documentElement.clientWidth - width - GAP_PX),
    );
    const above = at.top - height - GAP_PX;
    const below = Math.min(at.bottom + GAP_PX, document.documentElement.clientHeight - height - GAP_PX);
    this.root.style.left = `${left}px`;
    this.root.style.top = `${above < GAP_PX ? below : above}px`;
  }

  /** New words where it is shown for this owner. */
  renew(owner: HTMLElement): void {
    if (owner !== this.owner) return;
    for (const [index, line] of this.lines().entries()) {
      const child = this.root.children[index];
      if (child !== undefined) setText(child, line);
    }
  }

  /** Whatever is shown goes. Returns whether something was. */
  dismiss(): boolean {
    if (this.owner === null) return false;
    this.hide(this.owner);
    return true;
  }

  private hide(owner: HTMLElement): void {
    if (owner !== this.owner) return;
    owner.removeAttribute("aria-describedby");
    this.owner = null;
    this.root.hidden = true;
  }
}
