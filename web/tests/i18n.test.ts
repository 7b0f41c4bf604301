import assert from "node:assert/strict";
import { test } from "node:test";
import { Locale, preferred } from "../src/i18n.ts";

const en = new Locale("en");
const ja = new Locale("ja");

test("the first language we have of those preferred", () => {
  assert.equal(preferred(["ja-JP", "en"]), "ja");
  assert.equal(preferred(["fr-FR", "JA", "en"]), "ja");
  assert.equal(preferred(["fr-FR", "en-US", "ja"]), "en");
  assert.equal(preferred(["jam"]), "en");
  assert.equal(preferred([]), "en");
});

/** Path → text, of all tables of a language. */
function leaves(table: object, path = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(table)) {
    if (typeof value === "string") found.set(`${path}${key}`, value);
    else for (const [below, text] of leaves(value as object, `${path}${key}.`)) found.set(below, text);
  }
  return found;
}

test("both languages have the same texts, with the same places, and none is empty", () => {
  const [english, japanese] = [en, ja].map(({ texts, metrics, kinds }) => leaves({ texts, metrics, kinds }));
  assert.ok(english !== undefined && japanese !== undefined && english.size > 200);
  assert.deepEqual([...japanese.keys()].sort(), [...english.keys()].sort());
  const places = (text: string | undefined): string[] => (text?.match(/\{\w+\}/g) ?? []).sort();
  for (const [key, text] of english) {
    assert.deepEqual(places(japanese.get(key)), places(text), key);
    assert.notEqual(text.trim(), "", key);
    assert.notEqual(japanese.get(key)?.trim(), "", key);
  }
});

test("places are filled in", () => {
  assert.equal(en.say("of", { n: 51 }), "of 51");
  assert.equal(ja.say("of", { n: 51 }), "/ 51 人");
  assert.equal(en.say("of"), "of {n}");
});

test("means and short times have a decimal, and a kind that is new keeps its name", () => {
  assert.equal(en.mean(2.8333), "2.8");
  assert.equal(en.mean(3), "3");
  assert.match(en.moment(440), /^0\.4 secs?$/);
  assert.equal(ja.kind("code_run"), "プログラムの実行");
  assert.equal(ja.kind("brand_new"), "brand_new");
});

test("a rate of no attempts says nothing", () => {
  assert.equal(en.rate({ value: 0, n: 0 }), "–");
  assert.equal(en.rate(undefined), "–");
  assert.equal(en.rate({ value: 0, n: 1 }), "0%");
  assert.equal(en.rate({ value: 0.256, n: 10 }), "26%");
});

test("ages in the unit that fits, and never in the future", () => {
  assert.equal(ja.ago(3_400), "3秒前");
  assert.equal(ja.ago(89_000), "89秒前");
  assert.equal(ja.ago(120_000), "2分前");
  assert.equal(ja.ago(2 * 3_600_000), "2時間前");
  assert.equal(ja.ago(48 * 3_600_000), "2日前");
  assert.equal(ja.ago(7 * 365.25 * 24 * 3_600_000), "7年前");
  assert.equal(ja.ago(-5_000), ja.ago(0));
  assert.match(en.ago(3_400), /^3\s?s.* ago$/);
});

test("lengths in the unit that fits", () => {
  assert.match(en.length(75.4), /^75 secs?$/);
  assert.match(en.length(89.6), /^1 min/);
  assert.match(en.length(6 * 60 + 20), /^6 mins?$/);
  assert.match(en.length(3 * 3_600), /^3 hrs?$/);
  assert.equal(ja.length(6 * 60), "6 分");
});

test("names in a sentence, and not too many of them", () => {
  assert.equal(en.list(["Python", "Data"]), "Python and Data");
  assert.equal(ja.list(["Python", "データ"]), "Python、データ");
  assert.equal(ja.list(["a", "b", "c", "d", "e", "f"]), "a、b、c、d、…");
});

test("numbers are grouped", () => {
  assert.equal(en.count(1234.4), "1,234");
  assert.equal(ja.count(1234), "1,234");
});
