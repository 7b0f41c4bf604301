/** Many things as one stop of the Tab key: the arrows move among them. */

const MOVES: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

export class Roving {
  private readonly root: HTMLElement;
  private readonly selector: string;

  constructor(root: HTMLElement, selector: string) {
    this.root = root;
    this.selector = selector;
    root.addEventListener("keydown", (event) => this.move(event));
    root.addEventListener("focusin", (event) => this.enter(event.target as HTMLElement));
  }

  /** After things came or went: one of them is the stop. */
  renew(): void {
    const stops = this.all().filter((each) => each.tabIndex === 0);
    if (stops.length === 1) return;
    const kept = stops[0] ?? this.all()[0];
    for (const each of this.all()) each.tabIndex = each === kept ? 0 : -1;
  }

  private all(): HTMLElement[] {
    return [...this.root.querySelectorAll<HTMLElement>(this.selector)].filter((each) => each.closest("[hidden]") === null);
  }

  private enter(target: HTMLElement): void {
    if (!target.matches(this.selector)) return;
    for (const each of this.root.querySelectorAll<HTMLElement>(this.selector)) each.tabIndex = each === target ? 0 : -1;
  }

  private move(event: KeyboardEvent): void {
    const all = this.all();
    const at = all.indexOf(event.target as HTMLElement);
    const to = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : at + (MOVES[event.key] ?? NaN);
    if (at < 0 || Number.isNaN(to)) return;
    event.preventDefault();
    all[Math.max(0, Math.min(all.length - 1, to))]?.focus();
  }
}
