// Talks to the server: JSON there and back, errors as sentences, lists asked again while somebody looks.

/** What the server refused, in its own words; `status` is 0 when it did not answer at all. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Tells `lost` when the server does not answer, `found` when it does again, `locked` when it wants a key. */
export const connection = new EventTarget();
let answering = true;

export function address(path) {
  return new URL(path, document.baseURI).href;
}

function reached(now) {
  if (now !== answering) connection.dispatchEvent(new Event(now ? "found" : "lost"));
  answering = now;
}

/** A path with what is asked for; empty values are left out. */
export function query(path, values) {
  const asked = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return asked.length ? `${path}?${new URLSearchParams(asked)}` : path;
}

/** The raw answer; raises ApiError unless its status is a success, or one of `also`. */
export async function request(path, { method = "GET", body, headers = {}, also = [], signal } = {}) {
  let answer;
  try {
    answer = await fetch(address(path), { method, body, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    reached(false);
    throw new ApiError("", { status: 0, code: "unreachable" });
  }
  reached(true);
  if (answer.ok || also.includes(answer.status)) return answer;
  if (answer.status === 401) connection.dispatchEvent(new Event("locked"));
  const said = await answer.json().catch(() => null);
  const { message, code } = said?.error ?? {};
  throw new ApiError(message || `${answer.status} ${answer.statusText}`, { status: answer.status, code: code ?? "" });
}

export async function get(path, signal) {
  return (await request(path, { signal })).json();
}

/** Send JSON; the answer is JSON too, or null where there is none. */
export async function send(method, path, value, { signal, headers = {} } = {}) {
  const body = value === undefined ? undefined : JSON.stringify(value);
  const types = body === undefined ? headers : { "content-type": "application/json", ...headers };
  const answer = await request(path, { method, body, headers: types, signal });
  return answer.status === 204 ? null : answer.json();
}

/** Wait, unless the signal ends it earlier. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end);
  });
}

/** Whether the server may answer later what it did not answer now. */
export function passing(error) {
  return error instanceof ApiError && (error.status === 0 || error.status === 429 || error.status >= 500);
}

/** The n-th wait before another try, in milliseconds: half a second, doubled up to five, never in step with others. */
export function backoff(failures) {
  return Math.min(5_000, 500 * 2 ** failures) * (0.5 + Math.random() / 2);
}

function seen() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

/** Call `look` again and again until the signal; not while nobody looks, and seldom while the server is away. */
export async function poll(signal, milliseconds, look) {
  let failures = 0;
  while (!signal.aborted) {
    try {
      await look();
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (!passing(error)) throw error;
      failures += 1;
    }
    await pause(failures ? backoff(failures) : milliseconds, signal);
    await seen();
  }
}
