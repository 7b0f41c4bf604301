import assert from "node:assert/strict";
import { test } from "node:test";
import { format, HOME, parse, samePlace, type Route } from "../src/route.ts";

test("every place has an address, and the address leads back to it", () => {
  const routes: Route[] = [
    HOME,
    { view: "school", projector: true },
    { view: "course", id: "py101", projector: false },
    { view: "course", id: "a/b?c#d %é 授業", projector: true },
    { view: "student", id: "s 1", projector: false },
    { view: "about", projector: false },
    { view: "oncall", projector: false },
  ];
  for (const route of routes) assert.deepEqual(parse(format(route)), route);
  assert.equal(format({ view: "course", id: "py101", projector: true }), "#/course/py101?projector");
});

test("what is no place of ours is the school", () => {
  for (const hash of ["", "#", "#content", "#/nowhere", "#/course", "#/course/", "#/course/a/b", "#/course/%", "#/about/x"]) {
    assert.deepEqual(parse(hash), HOME, hash);
  }
});

test("of one student, and of the explanations, nothing is projected", () => {
  assert.equal(parse("#/student/s1?projector").projector, false);
  assert.equal(parse("#/about?projector").projector, false);
});

test("the same place, projected or not", () => {
  assert.ok(samePlace({ view: "course", id: "a" }, parse("#/course/a?projector")));
  assert.ok(!samePlace({ view: "course", id: "a" }, { view: "student", id: "a" }));
});
