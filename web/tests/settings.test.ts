import assert from "node:assert/strict";
import { test } from "node:test";
import { keep, nextTheme, parsed, recall, USUAL, type Settings, type Shelf } from "../src/settings.ts";

test("what was kept is recalled", () => {
  const held = new Map<string, string>();
  const shelf: Shelf = { getItem: (key) => held.get(key) ?? null, setItem: (key, value) => void held.set(key, value) };
  assert.deepEqual(recall(() => shelf), USUAL);
  const chosen: Settings = { language: "ja", theme: "dark", namesHidden: true, keys: false };
  keep(chosen, () => shelf);
  assert.deepEqual(recall(() => shelf), chosen);
});

test("what is kept that is no setting counts as not chosen", () => {
  for (const text of ["", "null", "[]", "7", "{", '{"language":"fr","theme":"pink","namesHidden":1}']) {
    assert.deepEqual(parsed(text), USUAL, text);
  }
});

test("a browser that keeps nothing is borne", () => {
  const shelf = (): Shelf => {
    throw new Error("forbidden");
  };
  keep(USUAL, shelf);
  assert.deepEqual(recall(shelf), USUAL);
});

test("the switch goes round", () => {
  assert.deepEqual([nextTheme("auto"), nextTheme("light"), nextTheme("dark")], ["light", "dark", "auto"]);
});
