import assert from "node:assert/strict";
import { test } from "node:test";
import { meOf } from "../src/account.ts";
import { decode } from "../src/frames.ts";
import { ONCALL, pipelineOf, placed, sectionOf } from "../src/pipeline.ts";
import { State } from "../src/state.ts";

const DRAWN = {
  verdict: "degraded",
  says: "live is stalled: nobody reads",
  since: "2026-01-15T00:30:00Z",
  seen: "2026-01-15T00:31:00Z",
  first: "group live",
  nodes: [
    { id: "door", kind: "door", name: "door", verdict: "ok", says: "", since: null, rate_in: 12.5, viewers: null },
    {
      id: "group live",
      kind: "group",
      name: "live",
      verdict: "degraded",
      says: "live is stalled: nobody reads",
      since: "2026-01-15T00:30:00Z",
      runbook: "docs/runbook.md#stalled",
      state: "stalled",
      rate_in: 3,
      rate_out: 0,
      lag: 120,
      lag_s: 40,
    },
    { id: "group new", kind: "group", name: "new", verdict: "ok", says: "" },
  ],
  edges: [{ source: "door", target: "group live" }],
  reasons: [],
  probe: { age_s: 2, latency_s: null, late: false },
  audit: { at: null, adds_up: null, says: "not looked at yet" },
  changes: [],
  errors: [{ at: "2026-01-15T00:29:00Z", about: "redis", says: "no answer" }],
  objectives: [
    {
      objective: "ingest",
      promise: "what producers send is answered",
      target: 0.999,
      share: null,
      total: 0,
      bad: 0,
      budget_left: null,
      burning: false,
      runbook: "docs/runbook.md#ingesterrors",
    },
  ],
};

test("what the gateway draws is read, and what it does not know is null", () => {
  const pipeline = pipelineOf(DRAWN);
  assert.equal(pipeline.verdict, "degraded");
  const [door, live] = pipeline.nodes;
  assert.deepEqual([door?.rateIn, door?.lag, door?.runbook], [12.5, null, null]);
  assert.deepEqual([live?.lag, live?.lagS, live?.state, live?.rateOut], [120, 40, "stalled", 0]);
  assert.equal(pipeline.errors[0]?.atMs, Date.parse("2026-01-15T00:29:00Z"));
  assert.deepEqual([pipeline.objectives[0]?.target, pipeline.objectives[0]?.share], [0.999, null]);
  assert.throws(() => pipelineOf({ ...DRAWN, verdict: "fine" }), /fine is no verdict/);
  assert.throws(() => pipelineOf({ ...DRAWN, nodes: [{ id: "door" }] }), /kind is no text/);
});

test("every place has a cell of its own, also one that is new here", () => {
  const cells = [...placed(pipelineOf(DRAWN).nodes).values()].map(String);
  assert.deepEqual(cells, ["1,1", "5,1", "5,5"]);
  assert.equal(sectionOf("docs/runbook.md#stalled"), "stalled");
});

test("it comes live as a scope that only those subscribe to who look at it and may", () => {
  const state = new State();
  state.focus = { view: "oncall" };
  assert.deepEqual(state.scopes, []);
  state.oncall = true;
  assert.deepEqual(state.scopes, [ONCALL]); // also while there is no overview, as without Redis
  const frame = decode(
    JSON.stringify({ type: "snapshot", scope: ONCALL, epoch: "p", offset: 4, values: [], pipeline: DRAWN }),
  );
  assert.equal(frame.type, "snapshot");
  if (frame.type !== "snapshot") return;
  state.takeFrame(frame, 0);
  assert.equal(state.pipeline?.first, "group live");
  assert.ok(state.covers(state.scopes));
  const update = { ...frame, type: "update" as const, offset: 7, skipped: 2, pipeline: { ...DRAWN, first: null } };
  state.takeFrame(update, 0);
  assert.equal(state.pipeline?.first, null);
  assert.throws(() => state.takeFrame({ ...update, offset: 9, skipped: 0 }, 0), /offset 9 after 7/);
  state.focus = { view: "school" };
  assert.deepEqual(state.scopes, []);
});

test("it is for sre and admin, and where nobody logs in for whoever is let in", () => {
  assert.deepEqual(meOf({ username: null, role: "teacher" }), { name: null, oncall: true });
  for (const [role, oncall] of Object.entries({ sre: true, admin: true, teacher: false, viewer: false, student: false })) {
    assert.deepEqual(meOf({ username: "a", display_name: "Aki", role }), { name: "Aki", oncall });
  }
});
