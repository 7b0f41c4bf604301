/** How a verdict is shown: a colour, a sign and words, and the runbook beside it. */

import { setAttribute, setText } from "../dom.ts";
import type { Texts } from "../i18n.ts";
import { sectionOf, type Level } from "../pipeline.ts";

export const GLYPHS: Readonly<Record<Level, string>> = { ok: "✓", unknown: "?", degraded: "▲", failing: "✕" };

/** `state`: a consumer group's own word for it. */
export function badge(node: HTMLElement, level: Level, texts: Texts, state: string | null = null): void {
  setAttribute(node, "data-level", level);
  const key = `state_${state ?? ""}`;
  const words = level !== "ok" && level !== "unknown" && key in texts && state !== "ok" && state !== "idle" ? key : `level_${level}`;
  const calm = level === "ok" && state === "idle" ? "state_idle" : words;
  setText(node, `${GLYPHS[level]} ${texts[calm as keyof Texts]}`);
}

export function link(node: HTMLAnchorElement, runbook: string, texts: Texts): void {
  const section = sectionOf(runbook);
  setAttribute(node, "href", `runbook.html#${section}`);
  setText(node, `${texts.runbook}: ${section}`);
}
