import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame } from "../src/frames.ts";
import { LiveClient } from "../src/live.ts";

const POINT = { metric: "events_per_minute", window_s: 60, start_ms: 1_000, value: 3, n: 3, as_of_ms: 30_000 };
const HELLO = { type: "hello", session: "s", heartbeat_ms: 10_000, limits: {} };
const BYE = { type: "bye", code: 3010, reconnect_after_ms: 4_321 };

const snapshot = (scope: string, offset = 1) => ({ type: "snapshot", scope, epoch: "e", offset, values: [POINT] });
const update = (scope: string, offset: number, value: number) => ({
  ...snapshot(scope, offset),
  type: "update",
  values: [{ ...POINT, value }],
});

class Socket {
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  closed = false;
  readonly sent: unknown[] = [];
  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }
  close(): void {
    this.closed = true;
  }
  says(...frames: unknown[]): void {
    for (const frame of frames) this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }
}

/** A browser whose clock and dice the test holds. */
class World {
  readonly opened: Socket[] = [];
  readonly said: string[] = [];
  readonly frames: Frame[] = [];
  readonly retries: number[] = [];
  refuse: Error | null = null;
  luck = 1;
  nowMs = 1_000_000;
  private timers = new Map<number, { callback: () => void; ms: number }>();
  private number = 0;

  readonly client = new LiveClient(
    {
      opening: () => void this.said.push("opening"),
      frame: (frame: Frame) => {
        if (this.refuse !== null) throw this.refuse;
        this.said.push(frame.type);
        this.frames.push(frame);
      },
      lost: (ms) => {
        this.said.push("lost");
        this.retries.push(ms);
      },
    },
    {
      open: () => {
        const socket = new Socket();
        this.opened.push(socket);
        return socket as unknown as WebSocket;
      },
      setTimeout: (callback, ms) => {
        this.timers.set(++this.number, { callback, ms });
        return this.number;
      },
      clearTimeout: (timer) => void this.timers.delete(timer),
      random: () => this.luck,
      nowMs: () => this.nowMs,
    },
  );

  get socket(): Socket {
    const last = this.opened.at(-1);
    assert.ok(last);
    return last;
  }

  get waiting(): number[] {
    return [...this.timers.values()].map(({ ms }) => ms);
  }

  /** The timer that is due first goes off. */
  ring(): void {
    const [first] = [...this.timers].sort(([, one], [, other]) => one.ms - other.ms);
    assert.ok(first, "no timer");
    const [timer, { callback, ms }] = first;
    this.timers.delete(timer);
    this.nowMs += ms;
    callback();
  }
}

function live(...scopes: string[]): World {
  const world = new World();
  world.client.watch(scopes);
  world.socket.says(HELLO, ...scopes.map((scope) => snapshot(scope)));
  return world;
}

test("after hello each scope is asked for, its frames are passed on, and what is shown is acknowledged", () => {
  const world = live("course:a");
  assert.deepEqual(world.said, ["opening", "snapshot"]);
  assert.deepEqual(world.socket.sent, [
    { type: "subscribe", scope: "course:a" },
    { type: "ack", scope: "course:a", offset: 1 },
  ]);
});

test("what is shown soon after is acknowledged together, within two seconds", () => {
  const world = live("course:a");
  world.socket.says(update("course:a", 2, 4), update("course:a", 3, 5));
  assert.equal(world.socket.sent.length, 2);
  world.ring();
  assert.deepEqual(world.socket.sent.at(-1), { type: "ack", scope: "course:a", offset: 3 });
  world.nowMs += 2_000;
  world.socket.says(update("course:a", 4, 5));
  assert.deepEqual(world.socket.sent.at(-1), { type: "ack", scope: "course:a", offset: 4 }, "without a timer");
});

test("a lost connection is gone on with from where each scope was, and what is resumed is shown whole", () => {
  const world = live("course:a");
  world.socket.says(update("course:a", 2, 4));
  world.socket.onclose?.({ code: 1006, reason: "" });
  world.ring();
  world.socket.says(HELLO);
  assert.deepEqual(world.socket.sent, [{ type: "subscribe", scope: "course:a", epoch: "e", offset: 2 }]);
  world.socket.says({ type: "resumed", scope: "course:a", epoch: "e", offset: 2 }, update("course:a", 3, 6));
  const [shown, then] = world.frames.slice(-2);
  assert.ok(shown?.type === "snapshot" && then?.type === "update");
  assert.deepEqual([shown.offset, shown.values.map((point) => point.value)], [2, [4]]);
  assert.equal(then.offset, 3);
});

test("a lost connection is opened again, ever later, and at once after a snapshot", () => {
  const world = new World();
  world.client.watch(["course:a"]);
  for (let round = 0; round < 8; round += 1) {
    world.socket.onclose?.({ code: 1006, reason: "" });
    world.ring();
  }
  assert.deepEqual(world.retries, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
  world.socket.says(HELLO, snapshot("course:a"));
  world.socket.onclose?.({ code: 1006, reason: "" });
  assert.equal(world.retries.at(-1), 500);
});

test("viewers do not come back at one moment", () => {
  const world = new World();
  world.luck = 0;
  world.client.watch(["course:a"]);
  world.socket.onclose?.({ code: 1006, reason: "" });
  assert.deepEqual(world.retries, [250]);
});

test("a gateway that says good-bye says when to come back, once", () => {
  const world = live("course:a");
  world.socket.says(BYE);
  world.socket.onclose?.({ code: 3010, reason: "" });
  world.ring();
  world.socket.onclose?.({ code: 1006, reason: "" });
  assert.deepEqual(world.retries, [4_321, 1_000]);
});

for (const [what, data, refuse] of [
  ["a gap", update("course:a", 9, 1), new Error("gap")],
  ["a frame of the wrong shape", "{}", null],
] as const) {
  test(`${what} asks for a fresh snapshot by a new connection`, () => {
    const world = live("course:a");
    const before = world.socket;
    world.refuse = refuse;
    before.says(data);
    assert.ok(before.closed);
    world.refuse = null;
    before.says(snapshot("course:a")); // what the old one still says is not heard
    before.onclose?.({ code: 1000, reason: "" });
    assert.deepEqual(world.said, ["opening", "snapshot", "lost"]);
    world.ring();
    world.socket.says(HELLO);
    assert.deepEqual(world.socket.sent, [{ type: "subscribe", scope: "course:a" }]);
  });
}

test("a connection that says nothing at first is given up", () => {
  const world = new World();
  world.client.watch(["course:a"]);
  world.ring();
  assert.ok(world.opened[0]?.closed);
  assert.deepEqual(world.said, ["opening", "lost"]);
});

test("one that says nothing any more is asked, and given up where it does not answer", () => {
  const world = live("course:a");
  world.ring();
  assert.deepEqual(world.socket.sent.at(-1), { type: "ping" });
  world.socket.says({ type: "pong" });
  world.ring();
  world.ring();
  assert.ok(world.opened[0]?.closed);
  assert.deepEqual(world.said, ["opening", "snapshot", "lost"]);
});

test("how long updates took is told on a connection that has been greeted", () => {
  const world = new World();
  world.client.watch(["course:a"]);
  assert.equal(world.client.tells, false);
  world.socket.says(HELLO);
  assert.equal(world.client.tells, true);
  world.client.tell({ frameMs: [50], paintMs: [70, 90] });
  assert.deepEqual(world.socket.sent.at(-1), { type: "measured", frame_ms: [50], paint_ms: [70, 90] });
});

test("other scopes are asked for on the same connection, and those that stay are shown again", () => {
  const world = live("course:a", "course:b");
  world.client.watch(["course:a", "course:b"]);
  assert.equal(world.said.length, 3);
  world.client.watch(["course:b", "course:c"]);
  assert.equal(world.opened.length, 1);
  assert.deepEqual(world.socket.sent.slice(-2), [
    { type: "unsubscribe", scope: "course:a" },
    { type: "subscribe", scope: "course:c" },
  ]);
  assert.deepEqual(world.said.slice(3), ["opening", "snapshot"]);
  world.socket.says(update("course:a", 2, 9)); // it was on its way
  assert.deepEqual(world.said.slice(3), ["opening", "snapshot"]);
});

test("nothing to watch closes it", () => {
  const world = live("course:a");
  world.client.watch([]);
  assert.ok(world.socket.closed);
  assert.equal(world.opened.length, 1);
  assert.deepEqual(world.waiting, []);
});

test("hurrying connects at once where it waits, and disturbs nothing where it is connected", () => {
  const world = new World();
  world.client.hurry();
  assert.equal(world.opened.length, 0, "nothing to watch yet");
  world.client.watch(["course:a"]);
  world.client.hurry();
  assert.equal(world.opened.length, 1);
  world.client.abandon("dead");
  world.client.hurry();
  assert.equal(world.opened.length, 2);
  assert.equal(world.waiting.length, 1, "only the new connection's");
});
