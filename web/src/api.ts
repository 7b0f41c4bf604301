/** The gateway's read API: each call has a timeout, and its answer is checked. */

import { renew } from "./account.ts";
import {
  finality,
  list,
  number,
  object,
  ShapeError,
  text,
  time,
  type Finality,
  type Json,
  type Metric,
  type Point,
} from "./frames.ts";
import { pipelineOf, type Pipeline } from "./pipeline.ts";
import { RefusedError, retryAfterMs, SilenceError, StrangerError } from "./polling.ts";

const TIMEOUT_MS = 8_000; // the gateway itself answers 503 well before

export interface School {
  readonly scope: string;
  readonly students: number;
  readonly values: ReadonlyMap<string, Point>;
}

export interface Course extends School {
  readonly courseId: string;
  readonly name: string;
  readonly onRoster: boolean;
}

export interface Team extends Course {
  readonly teamId: string;
}

export interface Student {
  readonly scope: string;
  readonly studentId: string;
  readonly name: string;
  readonly onRoster: boolean;
  readonly enrolments: readonly { readonly courseId: string; readonly teamId: string | null }[];
  readonly active: boolean;
  readonly present: boolean | null; // null: the pipelines have not said
  readonly idle: boolean | null; // present, and quiet
  readonly struggling: boolean;
  readonly waiting: boolean;
  readonly waitingS: number | null; // null: not waiting, or nobody has said for how long
  readonly lastSeenMs: number | null;
  readonly values: ReadonlyMap<string, Point>;
}

export interface Overview {
  readonly asOfMs: number;
  readonly school: School | null; // null: the viewer sees some courses only
  readonly courses: readonly Course[];
  readonly teams: readonly Team[];
  readonly students: readonly Student[];
  readonly truncated: boolean;
}

export interface HistoryPoint {
  readonly endMs: number;
  readonly value: number;
  readonly n: number; // events behind it
  readonly state: Finality;
}

/** Throws RefusedError, SilenceError, or ShapeError where the answer has the wrong shape. */
export async function overview(): Promise<Overview> {
  return overviewOf(await get("api/v1/dashboard/overview", {}));
}

/** Throws as `overview` does. */
export async function pipeline(): Promise<Pipeline> {
  return pipelineOf(await get("api/v1/admin/pipeline", {}));
}

/** One metric's windows that start in [from, to), sorted by time. Throws as `overview` does. */
export async function history(scope: string, metric: Metric, fromMs: number, toMs: number): Promise<HistoryPoint[]> {
  const path = `api/v1/history/${scope.split("/").map(encodeURIComponent).join("/")}`;
  const [from, to] = [new Date(fromMs).toISOString(), new Date(toMs).toISOString()];
  const answer = object(await get(path, { metric, from, to }), "history");
  return list(answer.points, "points").map((item) => {
    const point = object(item, "point");
    return {
      endMs: time(point.end, "end"),
      value: number(point.value, "value"),
      n: number(point.n, "n"),
      state: finality(point.state),
    };
  });
}

async function get(path: string, parameters: Record<string, string>): Promise<unknown> {
  const url = new URL(path, document.baseURI);
  url.search = new URLSearchParams(parameters).toString();
  let { answer, body } = await fetched(path, url);
  if (answer.status === 401) {
    if (!(await renew())) throw new StrangerError(`${path}: nobody is logged in`);
    ({ answer, body } = await fetched(path, url));
  }
  if (!answer.ok) {
    const after = retryAfterMs(answer.status, answer.headers.get("Retry-After"));
    throw new RefusedError(`${path}: ${answer.status} ${answer.statusText}`, after);
  }
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new ShapeError(`${path}: ${error}`);
  }
}

async function fetched(path: string, url: URL): Promise<{ readonly answer: Response; readonly body: string }> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
    return { answer, body: await answer.text() };
  } catch (error) {
    throw new SilenceError(`${path}: ${error}`, { cause: error });
  }
}

/** Pure. Throws ShapeError. */
export function overviewOf(answer: unknown): Overview {
  const body = object(answer, "overview");
  return {
    asOfMs: time(body.as_of, "as_of"),
    school: body.school === null ? null : school(object(body.school, "school")),
    courses: list(body.courses, "courses").map((item) => course(object(item, "course"))),
    teams: list(body.teams, "teams").map((item) => {
      const team = object(item, "team");
      return { ...course(team), teamId: text(team.team_id, "team_id") };
    }),
    students: list(body.students, "students").map((item) => student(object(item, "student"))),
    truncated: body.truncated === true,
  };
}

function school(item: Json): School {
  return {
    scope: text(item.scope, "scope"),
    students: number(item.students, "students"),
    values: values(item.values),
  };
}

function course(item: Json): Course {
  return {
    ...school(item),
    courseId: text(item.course_id, "course_id"),
    name: nameOf(item, "team_id" in item ? "team_id" : "course_id"),
    onRoster: item.on_roster === true,
  };
}

function student(item: Json): Student {
  return {
    scope: text(item.scope, "scope"),
    studentId: text(item.student_id, "student_id"),
    name: nameOf(item, "student_id"),
    onRoster: item.on_roster === true,
    enrolments: list(item.enrolments, "enrolments").map((each) => {
      const enrolment = object(each, "enrolment");
      const team = enrolment.team_id;
      return { courseId: text(enrolment.course_id, "course_id"), teamId: typeof team === "string" ? team : null };
    }),
    active: item.active === true,
    present: typeof item.present === "boolean" ? item.present : null,
    idle: typeof item.idle === "boolean" ? item.idle : null,
    struggling: item.struggling === true,
    waiting: item.waiting === true,
    waitingS: typeof item.waiting_s === "number" ? item.waiting_s : null,
    lastSeenMs: typeof item.last_seen === "string" ? time(item.last_seen, "last_seen") : null,
    values: values(item.values),
  };
}

/** Who is not on the roster has no name, only an id. */
function nameOf(item: Json, id: string): string {
  return typeof item.name === "string" && item.name !== "" ? item.name : text(item[id], id);
}

function values(item: unknown): Map<string, Point> {
  const held = new Map<string, Point>();
  for (const [metric, each] of Object.entries(object(item, "values"))) {
    if (each === null) continue;
    const value = object(each, metric);
    const windowS = number(value.window_s, "window_s");
    if (windowS <= 0) throw new ShapeError(`window_s of ${metric} is ${windowS}`);
    held.set(metric, {
      metric,
      label: "",
      value: number(value.value, "value"),
      n: number(value.n, "n"),
      windowS,
      startMs: time(value.start, "start"),
      asOfMs: time(value.as_of, "as_of"),
      state: finality(value.state),
    });
  }
  return held;
}
