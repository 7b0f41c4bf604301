/**
 * The live connection (docs/live-protocol.md): one WebSocket for all scopes, opened again with jittered backoff whenever
 * it is lost, and gone on with from where each scope was. Whoever listens sees whole scopes only: what was resumed is a
 * snapshot to him, too.
 */

import { decode, fieldOf, type Frame, type Message, type Point } from "./frames.ts";
import type { Measured } from "./latency.ts";

export const PROTOCOL = "classpulse.v1";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;
const OPENING_MAX_MS = 8_000; // a connection that says nothing for so long will not be one
const ACKNOWLEDGE_MS = 2_000; // what is shown; the gateway wants it within twice as long

/** What the page's own parts do with the connection. `frame` may throw to ask for a fresh snapshot. */
export interface Listener {
  opening(): void;
  frame(frame: Frame): void;
  lost(retryInMs: number, reason: string): void;
}

/** The parts of the browser used here; a test brings its own. */
export interface Surroundings {
  open(): WebSocket;
  setTimeout(callback: () => void, ms: number): number;
  clearTimeout(timer: number): void;
  random(): number;
  nowMs(): number;
}

/** What is known of a scope, and so need not be sent again. */
interface Held {
  epoch: string;
  offset: number;
  values: Map<string, Point>;
}

type Said =
  | { readonly type: "subscribe"; readonly scope: string; readonly epoch?: string; readonly offset?: number }
  | { readonly type: "unsubscribe"; readonly scope: string }
  | { readonly type: "ack"; readonly scope: string; readonly offset: number }
  | { readonly type: "measured"; readonly frame_ms: readonly number[]; readonly paint_ms: readonly number[] }
  | { readonly type: "ping" };

export class LiveClient {
  private socket: WebSocket | null = null;
  private greeted = false;
  private timer: number | null = null; // to open, or until something must be heard
  private acknowledging: number | null = null;
  private attempts = 0;
  private scopes: readonly string[] = [];
  private readonly held = new Map<string, Held>();
  private heartbeatMs = OPENING_MAX_MS;
  private asked = false; // by a ping, whether the gateway is there
  private unacknowledged: { readonly scope: string; readonly offset: number } | null = null;
  private acknowledgedAtMs = 0;
  private backAfterMs: number | null = null; // as the gateway asked

  private readonly listener: Listener;
  private readonly surroundings: Surroundings;

  constructor(listener: Listener, surroundings: Surroundings) {
    this.listener = listener;
    this.surroundings = surroundings;
  }

  /** Subscribes to exactly these scopes; an empty list closes. Nothing happens where they are subscribed already. */
  watch(scopes: readonly string[]): void {
    if (scopes.length === this.scopes.length && scopes.every((scope, index) => scope === this.scopes[index])) return;
    const before = this.scopes;
    this.scopes = scopes;
    for (const scope of this.held.keys()) if (!scopes.includes(scope)) this.held.delete(scope);
    if (this.socket === null || scopes.length === 0) {
      this.attempts = 0;
      this.connect();
      return;
    }
    if (!this.greeted) return; // all of them are asked for then
    for (const scope of before) if (!scopes.includes(scope)) this.say({ type: "unsubscribe", scope });
    this.listener.opening();
    for (const scope of scopes) {
      if (!before.includes(scope)) this.subscribe(scope);
      else this.showHeld(scope);
    }
  }

  /** Tries at once where it would have waited: the network or the viewer came back. */
  hurry(): void {
    if (this.socket === null && this.scopes.length > 0) this.connect();
  }

  /** Whether the gateway could be told how long updates took. */
  get tells(): boolean {
    return this.greeted;
  }

  tell({ frameMs, paintMs }: Measured): void {
    this.say({ type: "measured", frame_ms: frameMs, paint_ms: paintMs });
  }

  /** Drops a connection that is believed dead although nothing said so. */
  abandon(reason: string): void {
    if (this.socket !== null) this.lose(reason);
  }

  private connect(): void {
    this.drop();
    if (this.scopes.length === 0) return;
    this.listener.opening();
    let socket: WebSocket;
    try {
      socket = this.surroundings.open();
    } catch (error) {
      this.lose(String(error));
      return;
    }
    this.socket = socket;
    this.timer = this.surroundings.setTimeout(() => this.lose("it does not answer"), OPENING_MAX_MS);
    // A socket that was dropped may still speak: only the present one is heard.
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (socket === this.socket) this.hear(event.data);
    };
    socket.onclose = (event) => {
      if (socket === this.socket) this.lose(event.reason || `closed with ${event.code}`);
    };
  }

  private hear(data: unknown): void {
    this.stopTimer();
    this.asked = false;
    try {
      this.take(decode(String(data)));
    } catch (error) {
      this.held.clear(); // what is held is in doubt
      this.lose(String(error));
      return;
    }
    if (this.socket !== null) this.timer = this.surroundings.setTimeout(() => this.ask(), this.heartbeatMs);
  }

  private take(message: Message): void {
    switch (message.type) {
      case "hello":
        this.greeted = true;
        this.heartbeatMs = message.heartbeatMs;
        for (const scope of this.scopes) this.subscribe(scope);
        return;
      case "bye":
        this.backAfterMs = message.reconnectAfterMs;
        return;
      case "pong":
        return;
      case "resumed":
        this.attempts = 0;
        this.showHeld(message.scope);
        return;
      case "snapshot":
        if (!this.scopes.includes(message.scope)) return;
        this.attempts = 0;
        this.listener.frame(message);
        this.held.set(message.scope, {
          epoch: message.epoch,
          offset: message.offset,
          values: new Map(message.values.map((point) => [fieldOf(point), point])),
        });
        this.shown(message.scope, message.offset);
        return;
      case "update": {
        if (!this.scopes.includes(message.scope)) return;
        this.listener.frame(message);
        const held = this.held.get(message.scope);
        if (held === undefined) return;
        held.epoch = message.epoch;
        held.offset = message.offset;
        for (const point of message.values) held.values.set(fieldOf(point), point);
        this.shown(message.scope, message.offset);
        return;
      }
      case "stale":
        if (this.scopes.includes(message.scope)) this.listener.frame(message);
        return;
      case "error":
        console.warn(`the gateway refuses: ${message.code}: ${message.message}`);
        this.listener.frame(message);
        return;
    }
  }

  private subscribe(scope: string): void {
    const held = this.held.get(scope);
    this.say({ type: "subscribe", scope, ...(held && { epoch: held.epoch, offset: held.offset }) });
  }

  /** Before its snapshot has come, there is nothing to show of a scope. */
  private showHeld(scope: string): void {
    const held = this.held.get(scope);
    if (held === undefined) return;
    const { epoch, offset } = held;
    this.listener.frame({ type: "snapshot", scope, epoch, offset, values: [...held.values.values()] });
  }

  /** At once where the last word is long ago, which needs no timer: those of a hidden page come late. */
  private shown(scope: string, offset: number): void {
    this.unacknowledged = { scope, offset };
    const sinceMs = this.surroundings.nowMs() - this.acknowledgedAtMs;
    if (sinceMs >= ACKNOWLEDGE_MS) this.acknowledge();
    else {
      this.acknowledging ??= this.surroundings.setTimeout(() => {
        this.acknowledging = null;
        this.acknowledge();
      }, ACKNOWLEDGE_MS - sinceMs);
    }
  }

  private acknowledge(): void {
    if (this.unacknowledged === null) return;
    this.say({ type: "ack", ...this.unacknowledged });
    this.unacknowledged = null;
    this.acknowledgedAtMs = this.surroundings.nowMs();
  }

  /** Nothing was heard for a heartbeat. */
  private ask(): void {
    if (this.asked) {
      this.lose("it does not answer any more");
      return;
    }
    this.asked = true;
    this.say({ type: "ping" });
    this.timer = this.surroundings.setTimeout(() => this.ask(), this.heartbeatMs);
  }

  private say(said: Said): void {
    this.socket?.send(JSON.stringify(said));
  }

  private lose(reason: string): void {
    const backAfterMs = this.backAfterMs;
    this.drop();
    // Between half and all of the doubled time: viewers who lost the same gateway do not come back at one moment. One
    // that says good-bye spreads them itself.
    const longest = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.attempts);
    const ms = backAfterMs ?? Math.round(longest * (0.5 + this.surroundings.random() / 2));
    this.attempts += 1;
    this.timer = this.surroundings.setTimeout(() => this.connect(), ms);
    this.listener.lost(ms, reason);
  }

  private drop(): void {
    this.stopTimer();
    if (this.acknowledging !== null) this.surroundings.clearTimeout(this.acknowledging);
    this.acknowledging = null;
    this.unacknowledged = null;
    this.greeted = false;
    this.asked = false;
    this.backAfterMs = null;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private stopTimer(): void {
    if (this.timer !== null) this.surroundings.clearTimeout(this.timer);
    this.timer = null;
  }
}

/** The browser itself. */
export const browser: Surroundings = {
  open() {
    const url = new URL("ws/live", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return new WebSocket(url, PROTOCOL);
  },
  setTimeout: (callback, ms) => window.setTimeout(callback, ms),
  clearTimeout: (timer) => window.clearTimeout(timer),
  random: Math.random,
  nowMs: () => performance.now(),
};
