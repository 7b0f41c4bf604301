/** Which key does what. Pure. */

export type Deed =
  | { readonly deed: "help" | "names" | "projector" | "theme" | "language" | "school" | "about" | "oncall" | "escape" }
  | { readonly deed: "course"; readonly index: number };

export interface Key {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
}

const DEEDS: Readonly<Record<string, Deed>> = {
  "?": { deed: "help" },
  n: { deed: "names" },
  p: { deed: "projector" },
  t: { deed: "theme" },
  l: { deed: "language" },
  a: { deed: "about" },
  o: { deed: "oncall" },
  0: { deed: "school" },
};

/** `single`: keys without Ctrl or the like do something; Escape and ? do so always, for ? shows how to switch it. */
export function deedOf({ key, ctrlKey, metaKey, altKey }: Key, single: boolean): Deed | null {
  if (ctrlKey || metaKey || altKey) return null; // the browser's
  if (key === "Escape") return { deed: "escape" };
  if (key !== "?" && !single) return null;
  if (/^[1-9]$/.test(key)) return { deed: "course", index: Number(key) - 1 };
  return DEEDS[key.toLowerCase()] ?? null;
}
