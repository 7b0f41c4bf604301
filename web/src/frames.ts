/** What the gateway sends: the shapes of `wire/frames.py` and `wire/metrics.py`, checked where they come in. Pure. */

export type Metric =
  | "events_per_minute"
  | "active_students"
  | "error_rate"
  | "present_students"
  | "idle_students"
  | "struggling_students"
  | "help_requests_open"
  | "longest_wait_s";

const FINALITIES = ["provisional", "final", "corrected"] as const;

/** How much a value may still change; `corrected`: it did, after it was final. */
export type Finality = (typeof FINALITIES)[number];

/** One window's value: absolute, so that applying it twice changes nothing. Times are epoch ms of event time. */
export interface Point {
  readonly metric: string;
  readonly label: string;
  readonly value: number;
  readonly n: number;
  readonly windowS: number;
  readonly startMs: number;
  readonly asOfMs: number;
  readonly state: Finality;
}

export type Frame =
  | {
      readonly type: "snapshot";
      readonly scope: string;
      readonly epoch: string;
      readonly offset: number;
      readonly values: Point[];
      readonly pipeline?: unknown; // of the scope oncall: all of it
    }
  | {
      readonly type: "update";
      readonly scope: string;
      readonly epoch: string;
      readonly offset: number;
      readonly skipped: number;
      readonly values: Point[];
      readonly pipeline?: unknown;
    }
  | { readonly type: "stale"; readonly scope: string; readonly sinceMs: number }
  | { readonly type: "error"; readonly code: string; readonly message: string };

/** What is between the gateway and the connection only (`live.ts`), and no concern of the page. */
export type Message =
  | Frame
  | { readonly type: "hello"; readonly heartbeatMs: number }
  | { readonly type: "resumed"; readonly scope: string; readonly epoch: string; readonly offset: number }
  | { readonly type: "bye"; readonly code: number; readonly reconnectAfterMs: number }
  | { readonly type: "pong" };

/** What came does not have the agreed shape; the message says where. */
export class ShapeError extends Error {
  override name = "ShapeError";
}

export type Json = Readonly<Record<string, unknown>>;

export function object(value: unknown, where: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ShapeError(`${where} is no object`);
  return value as Json;
}

export function list(value: unknown, where: string): unknown[] {
  if (!Array.isArray(value)) throw new ShapeError(`${where} is no list`);
  return value;
}

export function text(value: unknown, where: string): string {
  if (typeof value !== "string") throw new ShapeError(`${where} is no text`);
  return value;
}

export function number(value: unknown, where: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new ShapeError(`${where} is no number`);
  return value;
}

/** Epoch ms of an RFC 3339 time. */
export function time(value: unknown, where: string): number {
  const ms = Date.parse(text(value, where));
  if (Number.isNaN(ms)) throw new ShapeError(`${where} is no time`);
  return ms;
}

export function finality(value: unknown): Finality {
  const found = FINALITIES.find((each) => each === value);
  if (found === undefined) throw new ShapeError(`${String(value)} is no state`);
  return found;
}

/** Throws ShapeError or SyntaxError. */
export function decode(data: string): Message {
  const frame = object(JSON.parse(data), "frame");
  switch (frame.type) {
    case "snapshot":
      return { type: "snapshot", ...place(frame), values: points(frame), ...drawn(frame) };
    case "update": {
      const skipped = frame.skipped === undefined ? 0 : number(frame.skipped, "skipped");
      return { type: "update", ...place(frame), skipped, values: points(frame), ...drawn(frame) };
    }
    case "stale":
      return { type: "stale", scope: text(frame.scope, "scope"), sinceMs: number(frame.since_ms, "since_ms") };
    case "error":
      return { type: "error", code: text(frame.code, "code"), message: text(frame.message, "message") };
    case "hello":
      return { type: "hello", heartbeatMs: number(frame.heartbeat_ms, "heartbeat_ms") };
    case "resumed":
      return { type: "resumed", ...place(frame) };
    case "bye": {
      const reconnectAfterMs = number(frame.reconnect_after_ms, "reconnect_after_ms");
      return { type: "bye", code: number(frame.code, "code"), reconnectAfterMs };
    }
    case "pong":
      return { type: "pong" };
    default:
      throw new ShapeError(`frame of unknown type ${String(frame.type)}`);
  }
}

function place(frame: Json): { scope: string; epoch: string; offset: number } {
  return {
    scope: text(frame.scope, "scope"),
    epoch: text(frame.epoch, "epoch"),
    offset: number(frame.offset, "offset"),
  };
}

function drawn({ pipeline }: Json): { pipeline?: unknown } {
  return pipeline === undefined ? {} : { pipeline };
}

function points(frame: Json): Point[] {
  return list(frame.values, "values").map((item) => {
    const point = object(item, "point");
    return {
      metric: text(point.metric, "metric"),
      label: point.label === undefined ? "" : text(point.label, "label"), // left out where it is empty
      value: number(point.value, "value"),
      n: number(point.n, "n"),
      windowS: number(point.window_s, "window_s"),
      startMs: number(point.start_ms, "start_ms"),
      asOfMs: number(point.as_of_ms, "as_of_ms"),
      state: point.state === undefined ? "provisional" : finality(point.state), // left out, as most are
    };
  });
}

/** A value's name within its scope. */
export function fieldOf(point: Point): string {
  return point.label === "" ? point.metric : `${point.metric}:${point.label}`;
}

/** A newer window, or the same window seen later: the rule Redis is written by, too. */
export function isNewer(point: Point, held: Point | undefined): boolean {
  if (held === undefined) return true;
  return point.startMs === held.startMs ? point.asOfMs >= held.asOfMs : point.startMs > held.startMs;
}
