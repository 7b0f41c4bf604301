/** The live connection: one WebSocket for all scopes, opened again with jittered backoff whenever it is lost. */

import { decode, type Frame } from "./frames.ts";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;
const OPENING_MAX_MS = 8_000; // a connection that says nothing for so long will not be one
const TRY_AGAIN_LATER = 1013; // the gateway's close code when it has as many viewers as it can bear

/** What the page's own parts do with the connection. `frame` may throw to ask for a fresh snapshot. */
export interface Listener {
  opening(): void;
  frame(frame: Frame): void;
  lost(retryInMs: number, reason: string): void;
}

/** The parts of the browser used here; a test brings its own. */
export interface Surroundings {
  open(scopes: readonly string[]): WebSocket;
  setTimeout(callback: () => void, ms: number): number;
  clearTimeout(timer: number): void;
  random(): number;
}

export class LiveClient {
  private socket: WebSocket | null = null;
  private timer: number | null = null;
  private attempts = 0;
  private scopes: readonly string[] = [];

  private readonly listener: Listener;
  private readonly surroundings: Surroundings;

  constructor(listener: Listener, surroundings: Surroundings) {
    this.listener = listener;
    this.surroundings = surroundings;
  }

  /** Subscribes to exactly these scopes; an empty list closes. Nothing happens where they are subscribed already. */
  watch(scopes: readonly string[]): void {
    if (scopes.length === this.scopes.length && scopes.every((scope, index) => scope === this.scopes[index])) return;
    this.scopes = scopes;
    this.attempts = 0;
    this.connect();
  }

  /** Tries at once where it would have waited: the network or the viewer came back. */
  hurry(): void {
    if (this.socket === null && this.scopes.length > 0) this.connect();
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
      socket = this.surroundings.open(this.scopes);
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
      if (socket !== this.socket) return;
      if (event.code === TRY_AGAIN_LATER) this.attempts += 4;
      this.lose(event.reason || `closed with ${event.code}`);
    };
  }

  private hear(data: unknown): void {
    this.stopTimer();
    try {
      const frame = decode(String(data));
      this.listener.frame(frame);
      if (frame.type === "snapshot") this.attempts = 0;
    } catch (error) {
      this.lose(String(error));
    }
  }

  private lose(reason: string): void {
    this.drop();
    // Between half and all of the doubled time: viewers who lost the same gateway do not come back at one moment.
    const longest = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.attempts);
    const ms = Math.round(longest * (0.5 + this.surroundings.random() / 2));
    this.attempts += 1;
    this.timer = this.surroundings.setTimeout(() => this.connect(), ms);
    this.listener.lost(ms, reason);
  }

  private drop(): void {
    this.stopTimer();
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
  open(scopes) {
    const url = new URL("ws/live", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    for (const scope of scopes) url.searchParams.append("scope", scope);
    return new WebSocket(url);
  },
  setTimeout: (callback, ms) => window.setTimeout(callback, ms),
  clearTimeout: (timer) => window.clearTimeout(timer),
  random: Math.random,
};
