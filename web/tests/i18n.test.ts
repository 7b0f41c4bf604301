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

test("every text has the same places in both languages", () => {
  for (const key of Object.keys(en.texts) as (keyof typeof en.texts)[]) {
    const places = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();
    assert.deepEqual(places(ja.texts[key]), places(en.texts[key]), key);
    assert.notEqual(ja.texts[key], "", key);
  }
});

test("places are filled in", () => {
  assert.equal(en.say("of", { n: 51 }), "of 51");
  assert.equal(ja.say("of", { n: 51 }), "/ 51 人");
  assert.equal(en.say("of"), "of {n}");
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

test("names in a sentence, and not too many of them", () => {
  assert.equal(en.list(["Python", "Data"]), "Python and Data");
  assert.equal(ja.list(["Python", "データ"]), "Python、データ");
  assert.equal(ja.list(["a", "b", "c", "d", "e", "f"]), "a、b、c、d、…");
});

test("numbers are grouped", () => {
  assert.equal(en.count(1234.4), "1,234");
  assert.equal(ja.count(1234), "1,234");
});
