import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame } from "../src/frames.ts";
import { LiveClient } from "../src/live.ts";

const SNAPSHOT = JSON.stringify({ type: "snapshot", scope: "course:a", epoch: "e", offset: 1, values: [] });

class Socket {
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  closed = false;
  close(): void {
    this.closed = true;
  }
}

/** A browser whose clock and dice the test holds. */
class World {
  readonly opened: { scopes: readonly string[]; socket: Socket }[] = [];
  readonly said: string[] = [];
  readonly retries: number[] = [];
  refuse: Error | null = null;
  luck = 1;
  private timers = new Map<number, { callback: () => void; ms: number }>();
  private number = 0;

  readonly client = new LiveClient(
    {
      opening: () => void this.said.push("opening"),
      frame: (frame: Frame) => {
        if (this.refuse !== null) throw this.refuse;
        this.said.push(frame.type);
      },
      lost: (ms) => {
        this.said.push("lost");
        this.retries.push(ms);
      },
    },
    {
      open: (scopes) => {
        const socket = new Socket();
        this.opened.push({ scopes, socket });
        return socket as unknown as WebSocket;
      },
      setTimeout: (callback, ms) => {
        this.timers.set(++this.number, { callback, ms });
        return this.number;
      },
      clearTimeout: (timer) => void this.timers.delete(timer),
      random: () => this.luck,
    },
  );

  get socket(): Socket {
    const last = this.opened.at(-1);
    assert.ok(last);
    return last.socket;
  }

  get waiting(): number[] {
    return [...this.timers.values()].map(({ ms }) => ms);
  }

  /** The only timer there may be goes off. */
  ring(): void {
    const [[timer, { callback }] = assert.fail("no timer"), ...others] = this.timers;
    assert.equal(others.length, 0, "one timer at a time");
    this.timers.delete(timer);
    callback();
  }
}

test("frames of the open connection are passed on, and no timer is left", () => {
  const world = new World();
  world.client.watch(["course:a"]);
  world.socket.onmessage?.({ data: SNAPSHOT });
  assert.deepEqual(world.said, ["opening", "snapshot"]);
  assert.deepEqual(world.waiting, []);
});

test("a lost connection is opened again, ever later, and at once after a snapshot", () => {
  const world = new World();
  world.client.watch(["course:a"]);
  for (let round = 0; round < 8; round += 1) {
    world.socket.onclose?.({ code: 1006, reason: "" });
    world.ring();
  }
  assert.deepEqual(world.retries, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
  world.socket.onmessage?.({ data: SNAPSHOT });
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

test("a gateway that is full is left in peace for longer", () => {
  const world = new World();
  world.client.watch(["course:a"]);
  world.socket.onclose?.({ code: 1013, reason: "" });
  assert.deepEqual(world.retries, [8_000]);
});

for (const [what, data, refuse] of [
  ["a gap", SNAPSHOT, new Error("gap")],
  ["a frame of the wrong shape", "{}", null],
] as const) {
  test(`${what} asks for a fresh snapshot by a new connection`, () => {
    const world = new World();
    world.client.watch(["course:a"]);
    const before = world.socket;
    world.refuse = refuse;
    before.onmessage?.({ data });
    assert.ok(before.closed);
    world.refuse = null;
    before.onmessage?.({ data: SNAPSHOT }); // what the old one still says is not heard
    before.onclose?.({ code: 1000, reason: "" });
    assert.deepEqual(world.said, ["opening", "lost"]);
    world.ring();
    assert.equal(world.opened.length, 2);
  });
}

test("a connection that says nothing is given up", () => {
  const world = new World();
  world.client.watch(["course:a"]);
  world.ring();
  assert.ok(world.opened[0]?.socket.closed);
  assert.deepEqual(world.said, ["opening", "lost"]);
});

test("the same scopes keep the connection, others replace it, none closes it", () => {
  const world = new World();
  world.client.watch(["course:a"]);
  world.client.watch(["course:a"]);
  assert.equal(world.opened.length, 1);
  world.client.watch(["course:a", "course:b"]);
  assert.ok(world.opened[0]?.socket.closed);
  assert.deepEqual(world.opened[1]?.scopes, ["course:a", "course:b"]);
  world.client.watch([]);
  assert.ok(world.opened[1]?.socket.closed);
  assert.equal(world.opened.length, 2);
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
