/** The dialog that lists what the keys do, and can switch the single ones off. */

import { element } from "../dom.ts";
import type { Locale } from "../i18n.ts";

export class ShortcutsDialog {
  readonly root: HTMLDialogElement;

  constructor(locale: Locale, keys: boolean, switched: (on: boolean) => void) {
    const { texts } = locale;
    const rows: [string, string][] = [
      ["?", texts.keyHelp],
      ["0", texts.keySchool],
      ["1 – 9", texts.keyCourse],
      ["a", texts.keyAbout],
      ["o", texts.keyOncall],
      ["n", texts.keyNames],
      ["p", texts.keyProjector],
      ["t", texts.keyTheme],
      ["l", texts.keyLanguage],
      ["← → Home End", texts.keyArrows],
      ["Esc", texts.keyEscape],
    ];
    const list = element("dl", { class: "keys" });
    for (const [key, words] of rows) {
      list.append(element("div", {}, element("dt", {}, element("kbd", {}, key)), element("dd", {}, words)));
    }
    const box = element("input", { type: "checkbox" });
    box.checked = keys;
    box.addEventListener("change", () => switched(box.checked));
    const close = element("button", { type: "button", class: "tool" }, texts.close);
    this.root = element("dialog", { "aria-labelledby": "keys-title" });
    this.root.append(
      element("h2", { id: "keys-title" }, texts.shortcuts),
      list,
      element("label", {}, box, ` ${texts.shortcutsOn}`),
      close,
    );
    close.addEventListener("click", () => this.root.close());
  }

  toggle(): void {
    if (this.root.open) this.root.close();
    else this.root.showModal();
  }
}
