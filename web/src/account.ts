/** Logging in and out, and the session's next tokens. They are cookies that no script can read. */

import { number, object, text, type Json } from "./frames.ts";
import { RefusedError, retryAfterMs, SilenceError } from "./polling.ts";

const TIMEOUT_MS = 8_000;
const RENEW_AT = 0.8; // of the access token's life

/** `wait`: too many have tried, or the server cannot look now. */
export type LogIn = "done" | "wrong" | "wait";

/** Throws SilenceError. */
export async function logIn(username: string, password: string): Promise<LogIn> {
  const answer = await post("login", { username, password, cookie: true });
  if (answer.ok) return "done";
  return answer.status === 400 || answer.status === 401 ? "wrong" : "wait";
}

/** What the OpenID provider is called by which one may log in too; null: there is none. Throws SilenceError, ShapeError. */
export async function provider(): Promise<string | null> {
  const answer = await ask("ways");
  return answer.ok ? providerOf(await answer.json()) : null;
}

/** Of what the gateway says of the ways to log in. Throws ShapeError. */
export function providerOf(ways: unknown): string | null {
  const { oidc } = object(ways, "ways");
  return oidc === null ? null : text(oidc, "oidc");
}

const REFUSALS = { again: "logInAgain", refused: "logInRefused", stranger: "logInStranger", away: "logInAway" } as const;

/** Which text tells why coming back from the provider logged nobody in, by the page's query; null: none has to. */
export function refusalOf(query: string): (typeof REFUSALS)[keyof typeof REFUSALS] | null {
  const kind = new URLSearchParams(query).get("log-in") ?? "";
  return Object.hasOwn(REFUSALS, kind) ? REFUSALS[kind as keyof typeof REFUSALS] : null;
}

/** Throws SilenceError. */
export async function logOut(): Promise<void> {
  await post("logout", {});
}

/**
 * The next tokens, for whichever page of this browser comes first: a token shown twice would end the session. False:
 * nobody is logged in. Throws SilenceError, RefusedError.
 */
export async function renew(): Promise<boolean> {
  const once = async (): Promise<boolean> => {
    const answer = await post("refresh", {});
    if (answer.ok) {
      renewIn(number(object(await answer.json(), "refresh").expires_in_s, "expires_in_s"));
      return true;
    }
    if (answer.status === 401 || answer.status === 404) return false; // 404: nobody logs in here
    throw new RefusedError(`refresh: ${answer.status}`, retryAfterMs(answer.status, answer.headers.get("Retry-After")));
  };
  // Browsers have locks on TLS and on this machine only.
  return "locks" in navigator ? navigator.locks.request("classpulse session", once) : once();
}

export interface Me {
  readonly name: string | null; // null: nobody has to log in
  readonly oncall: boolean; // he may see how all of it runs
}

/** Who is logged in. Throws SilenceError, ShapeError. */
export async function me(): Promise<Me> {
  const answer = await ask("me");
  if (!answer.ok) throw new RefusedError(`me: ${answer.status}`);
  const who = object(await answer.json(), "me");
  if (typeof who.expires_at_s === "number") renewIn(who.expires_at_s - Date.now() / 1_000);
  return meOf(who);
}

/** Pure. Throws ShapeError. */
export function meOf(who: Json): Me {
  if (typeof who.username !== "string") return { name: null, oncall: true };
  const name = typeof who.display_name === "string" ? who.display_name : who.username;
  return { name, oncall: who.role === "sre" || who.role === "admin" };
}

let timer = 0;

function renewIn(lifeS: number): void {
  window.clearTimeout(timer);
  timer = window.setTimeout(
    () => void renew().catch((error: unknown) => console.warn("renew:", error)), // else the next question does it
    Math.max(1_000, lifeS * RENEW_AT * 1_000),
  );
}

function post(path: string, body: object): Promise<Response> {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

async function ask(path: string, more: RequestInit = {}): Promise<Response> {
  try {
    const url = new URL(`api/v1/auth/${path}`, document.baseURI);
    return await fetch(url, { ...more, signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
  } catch (error) {
    throw new SilenceError(`${path}: ${error}`, { cause: error });
  }
}
