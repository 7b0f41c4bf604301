/** What the viewer has chosen for this browser, kept as long as the browser keeps it. */

import type { Language } from "./i18n.ts";

export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export interface Settings {
  readonly language: Language | null; // null: the browser's
  readonly theme: Theme;
  readonly namesHidden: boolean;
  readonly keys: boolean; // single-key shortcuts
}

export const USUAL: Settings = { language: null, theme: "auto", namesHidden: false, keys: true };

const KEY = "classpulse.settings";

/** The part of the browser's storage used here; it may throw, as it does where storage is forbidden. */
export type Shelf = Pick<Storage, "getItem" | "setItem">;

/** Whatever is kept that is no setting counts as not chosen. */
export function parsed(text: string | null): Settings {
  let kept: Partial<Record<keyof Settings, unknown>>;
  try {
    kept = Object(JSON.parse(text ?? "{}")) as typeof kept;
  } catch {
    return USUAL;
  }
  return {
    language: kept.language === "ja" || kept.language === "en" ? kept.language : null,
    theme: THEMES.find((theme) => theme === kept.theme) ?? "auto",
    namesHidden: kept.namesHidden === true,
    keys: kept.keys !== false,
  };
}

export function recall(shelf: () => Shelf): Settings {
  try {
    return parsed(shelf().getItem(KEY));
  } catch {
    return USUAL;
  }
}

export function keep(settings: Settings, shelf: () => Shelf): void {
  try {
    shelf().setItem(KEY, JSON.stringify(settings));
  } catch {
    // It is then as usual again next time.
  }
}

export function nextTheme(theme: Theme): Theme {
  return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
}
