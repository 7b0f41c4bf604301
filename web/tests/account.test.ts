import assert from "node:assert/strict";
import { test } from "node:test";
import { providerOf, refusalOf } from "../src/account.ts";
import { ShapeError } from "../src/frames.ts";

test("by which provider one may log in is told by the gateway", () => {
  assert.equal(providerOf({ password: true, oidc: "the school" }), "the school");
  assert.equal(providerOf({ password: true, oidc: null }), null);
  for (const wrong of [{}, { oidc: 7 }, null]) assert.throws(() => providerOf(wrong), ShapeError);
});

test("why nobody was logged in is told by kinds we know, and by no words of the address", () => {
  assert.equal(refusalOf("?log-in=stranger"), "logInStranger");
  assert.equal(refusalOf("?x=1&log-in=away"), "logInAway");
  for (const query of ["", "?log-in", "?log-in=toString", "?log-in=<b>", "?log-in=__proto__"]) assert.equal(refusalOf(query), null);
});
