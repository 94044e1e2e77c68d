// Talking to the service: problems as sentences, patience when it is busy, word when it is gone.

const KEY = "millsight-token";
const TRIES = 5;
const LONGEST_WAIT_S = 30;
const PAGE_SIZE = 200;

/** Fires "lost", "back", "busy" (detail: seconds) and "stranger" (a token is wanted). */
export const connection = new EventTarget();
let lost = false;

/** An RFC 9457 problem, or what stands for one. */
export class Problem extends Error {
  constructor(status, title, detail, errors = []) {
    const listed = errors.slice(0, 3).map((error) => `${error.pointer}: ${error.detail}`);
    super([detail || title, ...listed].join(" "));
    this.status = status;
    this.errors = errors;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  clear: () => sessionStorage.removeItem(KEY),
};

/** Address with a query; empty parameters are left out. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  return query.size ? `${path}?${query}` : path;
}

/** Ask the service; the answer's JSON, or null where there is none. Waits while it is busy for a moment. */
export async function ask(path, { method = "GET", body, headers = {}, signal, keepalive } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    const sent = { method, body, headers: { ...headers, ...bearer() }, signal, keepalive };
    const response = await reach(path, sent);
    const wait = Number(response.headers.get("retry-after")) || 1;
    if (response.status !== 429 || attempt === TRIES || wait > LONGEST_WAIT_S) return read(response);
    connection.dispatchEvent(new CustomEvent("busy", { detail: wait }));
    await pause(wait, signal);
  }
}

export function bearer() {
  const text = token.get();
  return text ? { Authorization: `Bearer ${text}` } : {};
}

async function reach(path, options) {
  try {
    const response = await fetch(path, { ...options, credentials: "same-origin" });
    if (lost) {
      lost = false;
      connection.dispatchEvent(new Event("back"));
    }
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    loseConnection();
    throw new Problem(0, "No connection", "The service cannot be reached.");
  }
}

/** Tell everybody that the service is gone, and look now and then whether it is back. */
export function loseConnection() {
  if (lost) return;
  lost = true;
  connection.dispatchEvent(new Event("lost"));
  const look = async () => {
    if (!lost) return;
    try {
      await reach("/healthz", {});
    } catch {
      setTimeout(look, 3000);
    }
  };
  setTimeout(look, 3000);
}

async function read(response) {
  if (response.status === 204) return null;
  const kind = response.headers.get("content-type") ?? "";
  const content = kind.includes("json") ? await response.json() : null;
  if (response.ok) return content;
  throw problemOf(response.status, content, response.statusText);
}

/** A problem from an answer's status and JSON; says that a token is wanted at 401. */
export function problemOf(status, content, title) {
  if (status === 401) connection.dispatchEvent(new Event("stranger"));
  const detail = content?.detail ?? `The service answered ${status}.`;
  return new Problem(status, content?.title ?? title, detail, content?.errors);
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("left", "AbortError"));
    });
  });
}

/** A list that the service gives page by page. */
export class Listing {
  constructor(path, parameters, signal) {
    this.path = path;
    this.parameters = parameters;
    this.signal = signal;
    this.items = [];
    this.total = null;
    this.cursor = null;
    this.ended = false;
    this.coming = null;
  }

  /** Fetch the next page; calls that come meanwhile share it. */
  more() {
    this.coming ??= this.fetchPage().finally(() => {
      this.coming = null;
    });
    return this.coming;
  }

  async fetchPage() {
    const query = { limit: PAGE_SIZE, ...this.parameters, cursor: this.cursor };
    const page = await ask(address(this.path, query), { signal: this.signal });
    this.items.push(...page.items);
    this.cursor = page.next_cursor ?? null;
    this.ended = this.cursor === null;
    this.total = page.total ?? (this.ended ? this.items.length : this.total);
  }

  /** Fetch pages until item `index` is here, or the list has ended. */
  async until(index) {
    while (this.items.length <= index && !this.ended) await this.more();
  }
}

/** All items of a list that is known to be short. */
export async function all(path, parameters, signal) {
  const listing = new Listing(path, parameters, signal);
  await listing.until(Infinity);
  return listing.items;
}

/** A key by which a repeated submission gives the same job. */
export function newKey() {
  // randomUUID exists on https alone, and a mill's network often has none.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
