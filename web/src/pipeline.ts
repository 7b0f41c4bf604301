/** The pipeline as the gateway draws it (gateway/oncall/drawing.py), checked where it comes in. Pure. */

import { list, number, object, ShapeError, text, time, type Json } from "./frames.ts";

export const ONCALL = "oncall"; // the live scope

export const LEVELS = ["ok", "unknown", "degraded", "failing"] as const; // the worse the later
export type Level = (typeof LEVELS)[number];

export interface PlaceInPipeline {
  readonly id: string;
  readonly kind: string;
  readonly name: string;
  readonly verdict: Level;
  readonly says: string;
  readonly sinceMs: number | null;
  readonly runbook: string | null;
  readonly state: string | null; // of a consumer group
  readonly rateIn: number | null;
  readonly rateOut: number | null;
  readonly lag: number | null;
  readonly lagS: number | null;
  readonly workers: number | null;
  readonly ready: number | null;
  readonly viewers: number | null;
  readonly latencyS: number | null;
}

export interface Edge {
  readonly source: string;
  readonly target: string;
}

export interface ReasonTold {
  readonly about: string;
  readonly verdict: Level;
  readonly says: string;
  readonly sinceMs: number;
  readonly runbook: string;
}

export interface ChangeTold {
  readonly atMs: number;
  readonly about: string;
  readonly before: Level;
  readonly verdict: Level;
  readonly says: string;
}

export interface ErrorTold {
  readonly atMs: number;
  readonly about: string;
  readonly says: string;
}

export interface Promised {
  readonly objective: string;
  readonly promise: string;
  readonly target: number;
  readonly share: number | null; // null: nothing was counted
  readonly total: number;
  readonly bad: number;
  readonly budgetLeft: number | null;
  readonly burning: boolean;
  readonly runbook: string;
}

export interface Pipeline {
  readonly verdict: Level;
  readonly says: string;
  readonly sinceMs: number;
  readonly seenMs: number;
  readonly first: string | null; // where to look
  readonly nodes: readonly PlaceInPipeline[];
  readonly edges: readonly Edge[];
  readonly reasons: readonly ReasonTold[];
  readonly probe: { readonly ageS: number; readonly latencyS: number | null; readonly late: boolean } | null;
  readonly audit: { readonly addsUp: boolean | null; readonly says: string };
  readonly changes: readonly ChangeTold[];
  readonly errors: readonly ErrorTold[];
  readonly objectives: readonly Promised[];
}

/** Throws ShapeError. */
export function pipelineOf(answer: unknown): Pipeline {
  const body = object(answer, "pipeline");
  const audit = object(body.audit, "audit");
  return {
    verdict: level(body.verdict),
    says: text(body.says, "says"),
    sinceMs: time(body.since, "since"),
    seenMs: time(body.seen, "seen"),
    first: typeof body.first === "string" ? body.first : null,
    nodes: each(body.nodes, "nodes", node),
    edges: each(body.edges, "edges", (edge) => ({
      source: text(edge.source, "source"),
      target: text(edge.target, "target"),
    })),
    reasons: each(body.reasons, "reasons", (reason) => ({
      ...told(reason),
      verdict: level(reason.verdict),
      sinceMs: time(reason.since, "since"),
      runbook: text(reason.runbook, "runbook"),
    })),
    probe: body.probe === null ? null : probe(object(body.probe, "probe")),
    audit: { addsUp: typeof audit.adds_up === "boolean" ? audit.adds_up : null, says: text(audit.says, "says") },
    changes: each(body.changes, "changes", (change) => ({
      ...told(change),
      atMs: time(change.at, "at"),
      before: level(change.before),
      verdict: level(change.verdict),
    })),
    errors: each(body.errors, "errors", (error) => ({ ...told(error), atMs: time(error.at, "at") })),
    objectives: each(body.objectives, "objectives", promised),
  };
}

/** Where on the page's own copy of the runbook a section is. */
export function sectionOf(runbook: string): string {
  const [, section = ""] = runbook.split("#", 2);
  return section;
}

const PLACES: Readonly<Record<string, readonly [column: number, row: number]>> = {
  door: [1, 1],
  "server postgresql": [1, 2],
  "topic activity": [2, 1],
  "server kafka": [2, 2],
  "group aggregate": [3, 1],
  "topic metrics": [4, 1],
  "topic partials": [4, 2],
  "topic activity.late": [4, 3],
  "topic activity.dead-letters": [4, 4],
  "group live": [5, 1],
  "group history": [5, 2],
  "server redis": [6, 1],
  "server history": [6, 2],
  "topic metrics.parked": [6, 3],
  viewers: [7, 1],
};
const COLUMNS: Readonly<Record<string, number>> = { door: 1, server: 6, topic: 4, group: 5, viewers: 7 };
export const COLUMNS_MAX = 7;

/** Column and row of each, from 1; what is not known here has a place of its own below. */
export function placed(nodes: readonly PlaceInPipeline[]): Map<string, readonly [number, number]> {
  const found = new Map<string, readonly [number, number]>();
  let row = 5;
  for (const { id, kind } of nodes) found.set(id, PLACES[id] ?? [COLUMNS[kind] ?? 4, row++]);
  return found;
}

function node(item: Json): PlaceInPipeline {
  return {
    id: text(item.id, "id"),
    kind: text(item.kind, "kind"),
    name: text(item.name, "name"),
    verdict: level(item.verdict),
    says: text(item.says, "says"),
    sinceMs: typeof item.since === "string" ? time(item.since, "since") : null,
    runbook: typeof item.runbook === "string" ? item.runbook : null,
    state: typeof item.state === "string" ? item.state : null,
    rateIn: maybe(item.rate_in),
    rateOut: maybe(item.rate_out),
    lag: maybe(item.lag),
    lagS: maybe(item.lag_s),
    workers: maybe(item.workers),
    ready: maybe(item.ready),
    viewers: maybe(item.viewers),
    latencyS: maybe(item.latency_s),
  };
}

function promised(item: Json): Promised {
  return {
    objective: text(item.objective, "objective"),
    promise: text(item.promise, "promise"),
    target: number(item.target, "target"),
    share: maybe(item.share),
    total: number(item.total, "total"),
    bad: number(item.bad, "bad"),
    budgetLeft: maybe(item.budget_left),
    burning: item.burning === true,
    runbook: text(item.runbook, "runbook"),
  };
}

function probe(item: Json): NonNullable<Pipeline["probe"]> {
  return { ageS: number(item.age_s, "age_s"), latencyS: maybe(item.latency_s), late: item.late === true };
}

function told(item: Json): { about: string; says: string } {
  return { about: text(item.about, "about"), says: text(item.says, "says") };
}

function each<Item>(items: unknown, where: string, of: (item: Json) => Item): Item[] {
  return list(items, where).map((item) => of(object(item, where)));
}

function maybe(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

function level(value: unknown): Level {
  const found = LEVELS.find((one) => one === value);
  if (found === undefined) throw new ShapeError(`${String(value)} is no verdict`);
  return found;
}
