/** The little of a framework this page needs: elements from data, texts set only when they differ, keyed lists. */

type Attributes = Readonly<Record<string, string>>;

/** Text is always set as text: nothing from data is ever read as markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node: Element, name: string, value: string | null): void {
  if (node.getAttribute(name) === value) return;
  if (value === null) node.removeAttribute(name);
  else node.setAttribute(name, value);
}

/** What is drawn for one item of a list. */
export interface View<Item> {
  readonly root: HTMLElement;
  update(item: Item): void;
}

/** Keeps one view an item, by key, in the items' order; a view that stays keeps its element, and with it the focus. */
export class KeyedList<Item> {
  private views = new Map<string, View<Item>>();

  private readonly root: HTMLElement;
  private readonly keyOf: (item: Item) => string;
  private readonly make: (item: Item) => View<Item>;

  constructor(root: HTMLElement, keyOf: (item: Item) => string, make: (item: Item) => View<Item>) {
    this.root = root;
    this.keyOf = keyOf;
    this.make = make;
  }

  update(items: readonly Item[]): void {
    const views = new Map<string, View<Item>>();
    let before: Element | null = null;
    for (const item of items) {
      const key = this.keyOf(item);
      const view = this.views.get(key) ?? this.make(item);
      views.set(key, view);
      view.update(item);
      const place: Element | null = before === null ? this.root.firstElementChild : before.nextElementSibling;
      if (place !== view.root) this.root.insertBefore(view.root, place);
      before = view.root;
    }
    for (const [key, view] of this.views) if (!views.has(key)) view.root.remove();
    this.views = views;
  }
}
