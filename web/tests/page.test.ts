import assert from "node:assert/strict";
import { test } from "node:test";
import { Announcer } from "../src/announcing.ts";
import type { Student } from "../src/api.ts";
import type { Point } from "../src/frames.ts";
import { Locale, type Explained } from "../src/i18n.ts";
import { deedOf } from "../src/keyboard.ts";
import { Names } from "../src/names.ts";
import { explained, explainedLatency, written, writtenValue } from "../src/numbers.ts";

const en = new Locale("en");
const ja = new Locale("ja");

function student(studentId: string): Student {
  return {
    scope: `student:${studentId}`,
    studentId,
    name: `Name of ${studentId}`,
    onRoster: true,
    enrolments: [],
    active: false,
    present: null,
    idle: null,
    struggling: false,
    waiting: false,
    waitingS: null,
    lastSeenMs: null,
    values: new Map(),
  };
}

function point(value: number, more: Partial<Point> = {}): Point {
  const window = { windowS: 60, startMs: Date.parse("2026-01-15T00:00:00Z"), asOfMs: Date.parse("2026-01-15T00:00:42Z") };
  return { metric: "m", label: "", value, n: 3, ...window, state: "provisional", ...more };
}

test("with names hidden a student is a number, and keeps it whoever comes", () => {
  const names = new Names();
  const [a, b, c] = [student("a"), student("b"), student("c")];
  names.meet([a, b]);
  assert.equal(names.of(b, en), "Name of b");
  assert.equal(names.idOf(b), "b");
  names.hidden = true;
  names.meet([c, a, b]);
  assert.deepEqual([a, b, c].map((each) => names.of(each, ja)), ["学生 1", "学生 2", "学生 3"]);
  assert.equal(names.idOf(b), "");
});

test("each number in its own form; what was not said is a dash, and not 0", () => {
  assert.equal(written(en, "events_per_minute", point(1234)), "1,234");
  assert.equal(written(en, "error_rate", point(0.256)), "26%");
  assert.equal(written(en, "error_rate", point(0, { n: 0 })), "–");
  assert.equal(written(en, "participation_balance", point(0.75)), "75%");
  assert.equal(written(en, "attempts_per_task", point(2.83)), "2.8");
  assert.match(written(en, "active_s", point(372)), /^6 mins?$/);
  assert.equal(written(en, "struggling_students", undefined), "–");
  assert.equal(writtenValue(en, "error_rate", 0.5), "50%");
});

test("a note says what, how counted, how true, how final, how old and of which window", () => {
  const lines = explained(en, "error_rate", point(0.5, { state: "corrected" }), 3_000);
  assert.equal(lines[0], "Error rate");
  assert.match(lines.join("\n"), /How it is counted: .*\nHow true: .*\nCorrected: .*\nAs of .*, 3\s?s.*ago\nWindow .*, n = 3$/);
  assert.equal(explained(en, "error_rate", undefined, 0).at(-1), "The pipelines have not said this yet");
});

test("no note is left with a place that nothing fills", () => {
  for (const locale of [en, ja]) {
    for (const name of Object.keys(locale.metrics) as Explained[]) {
      const lines = name === "latency" ? explainedLatency(locale, 20) : explained(locale, name, point(1), 0);
      assert.ok(!/[{}]/.test(lines.join()), name);
    }
  }
});

test("keys do what the list says, single ones only while they are on, and none that is the browser's", () => {
  const key = (name: string, more: object = {}) => ({ key: name, ctrlKey: false, metaKey: false, altKey: false, ...more });
  assert.deepEqual(deedOf(key("n"), true), { deed: "names" });
  assert.deepEqual(deedOf(key("N"), true), { deed: "names" });
  assert.deepEqual(deedOf(key("3"), true), { deed: "course", index: 2 });
  assert.deepEqual(deedOf(key("0"), true), { deed: "school" });
  assert.equal(deedOf(key("n", { ctrlKey: true }), true), null);
  assert.equal(deedOf(key("x"), true), null);
  assert.equal(deedOf(key("n"), false), null);
  assert.deepEqual(deedOf(key("?"), false), { deed: "help" });
  assert.deepEqual(deedOf(key("Escape"), false), { deed: "escape" });
});

test("told aloud is that more ask for help, not who is there already, nor too often", () => {
  const announcer = new Announcer();
  assert.equal(announcer.next(2, 0), null, "who arrives reads the page");
  assert.equal(announcer.next(3, 1_000), 3);
  assert.equal(announcer.next(3, 2_000), null);
  assert.equal(announcer.next(5, 3_000), null, "a moment ago something was told");
  assert.equal(announcer.next(5, 17_000), 5);
  assert.equal(announcer.next(1, 40_000), null);
  assert.equal(announcer.next(2, 50_000), 2);
});

test("where names are hidden an address tells no id, and means the same student after the roster has changed", () => {
  const names = new Names();
  names.meet([student("sato"), student("omar")]);
  assert.equal(names.addressOf("omar"), "omar");
  names.hidden = true;
  const address = names.addressOf("omar");
  assert.match(address, /^~[0-9a-f]{16}$/);
  assert.equal(names.addressOf("nobody"), "nobody");
  const later = new Names();
  later.meet([student("abe"), student("omar"), student("sato")]);
  const others = ["omar", "~2", "~", `~${"0".repeat(16)}`];
  assert.deepEqual([address, ...others].map((some) => later.meant(some)), ["omar", ...others]);
});
