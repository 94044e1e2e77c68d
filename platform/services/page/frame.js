// The page's frame: routes in the address's hash, theme, notices and the keys that work everywhere.

import { connection } from "./api.js";
import { announce, h, installExplanations } from "./dom.js";
import { installKeys, openSheet, shortcuts } from "./keys.js";
import { loadSession, session, signIn, signOut } from "./session.js";

const THEMES = { "": ["Auto", "dark"], dark: ["Dark", "light"], light: ["Light", ""] };
const main = document.getElementById("main");
const notice = document.getElementById("notice");
let leaving = new AbortController();
let asking = null;
// The path that is shown, and what its view does when only the query changes.
let shown = { path: null, follow: null };
let service;

/**
 * Start the page of a service: `name`, `intro` and `reason` (why a token), `places` in the bar as
 * [place, hash, name, key], and `routes` as [pattern, view, place, whether over the whole width].
 */
export function start(described) {
  service = described;
  showPlaces();
  installKeys();
  installFrame();
  installTheme();
  installNotices();
  installExplanations();
  installPlaces();
  route();
}

function showPlaces() {
  document
    .getElementById("places")
    .replaceChildren(
      ...service.places.map(([place, hash, name]) => h("a", { href: hash, "data-place": place }, name)),
    );
}

/** Show what the hash asks for. The view before hears its signal abort. */
async function route() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, query = ""] = (location.hash.slice(1) || "/").split("?");
  const [view, place, broad, found] = find(path);
  shown = { path, follow: null };
  document.body.classList.add("busy");
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const link of document.querySelectorAll("[data-place]")) {
    if (link.dataset.place === place) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    if (!session.me) await loadSession();
    await view(context(signal, found, new URLSearchParams(query), broad));
  } catch (problem) {
    if (!signal.aborted && problem.name !== "AbortError") fail(problem);
  } finally {
    if (!signal.aborted) document.body.classList.remove("busy");
  }
}

function find(path) {
  for (const [pattern, view, place, broad = false] of service.routes) {
    const match = pattern.exec(path);
    if (match) return [view, place, broad, match.slice(1).map(decodeURIComponent)];
  }
  return [missingView, "", false, []];
}

/** What a view gets: its part of the address, a signal that it is left, and a way to show itself. */
function context(signal, parts, query, broad) {
  return {
    signal,
    parts,
    query,
    show(title, ...content) {
      if (signal.aborted) return;
      document.title = `${title} · millsight`;
      main.replaceChildren(...content.flat().filter(Boolean));
      main.className = broad ? "broad" : "";
      announce(title);
      main.focus({ preventScroll: true });
      window.scrollTo(0, history.state?.y ?? 0);
    },
    /** Let `take(query)` say whether the view can go on with another query. */
    follow(take) {
      shown.follow = take;
    },
    /** Note a choice in the address without leaving the view. */
    note(changes) {
      for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === "") query.delete(name);
        else query.set(name, value);
      }
      const path = location.hash.slice(1).split("?")[0] || "/";
      history.replaceState(history.state, "", query.size ? `#${path}?${query}` : `#${path}`);
    },
  };
}

/** What lies at the page's beginning. */
function home() {
  return service.places[0][2].toLowerCase();
}

function missingView({ show }) {
  show(
    "Nothing here",
    h("h1", {}, "Nothing here"),
    h("p", {}, "This address leads nowhere. ", h("a", { href: "#/" }, `See the ${home()}.`)),
  );
}

function fail(problem) {
  if (problem.status === 401) return void welcome();
  const titles = { 0: "No connection", 403: "Not allowed", 404: "Not found" };
  const retry = h("button", { type: "button", onclick: route }, "Try again");
  main.replaceChildren(
    h(
      "section",
      { class: "failure", role: "alert" },
      h("h1", {}, titles[problem.status] ?? "That did not work"),
      h("p", {}, problem.message),
      h("p", {}, retry, " ", h("a", { href: "#/" }, `See the ${home()}`)),
    ),
  );
  // A bug of the page itself belongs in the console, a refusal does not.
  if (problem.status === undefined) console.error(problem);
  return undefined;
}

async function welcome() {
  const again = h("button", { type: "button", class: "primary", onclick: () => welcome() }, "Sign in");
  main.replaceChildren(
    h("section", { class: "failure" }, h("h1", {}, service.name), h("p", {}, service.intro), again),
  );
  if (asking) return;
  asking = signIn(service.reason);
  try {
    await asking;
    route();
  } catch {
    again.focus();
  } finally {
    asking = null;
  }
}

function installTheme() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const name = () => {
    const [shown] = THEMES[root.dataset.theme ?? ""];
    button.textContent = `◐ ${shown}`;
    button.setAttribute("aria-label", `Colours: ${shown}. Change`);
  };
  button.addEventListener("click", () => {
    const [, next] = THEMES[root.dataset.theme ?? ""];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    localStorage.setItem("millsight-theme", next);
    name();
  });
  name();
}

function installNotices() {
  const say = (text, kind) => {
    notice.textContent = text;
    notice.className = text ? kind : "";
  };
  let calm;
  connection.addEventListener("lost", () =>
    say("No connection to the service. What you see may be old; trying again…", "lost"),
  );
  connection.addEventListener("back", () => {
    say("Connected again.", "back");
    clearTimeout(calm);
    calm = setTimeout(() => say(""), 2500);
    if (main.querySelector(".failure")) route();
  });
  connection.addEventListener("busy", (event) => {
    say(`The service is busy; trying again in ${event.detail} s.`, "slow");
    clearTimeout(calm);
    calm = setTimeout(() => say(""), 1000 * event.detail + 1500);
  });
}

function installFrame() {
  const go = (hash) => () => {
    location.hash = hash;
  };
  shortcuts(
    [
      { on: ["?"], shown: "?", does: "This sheet", run: openSheet },
      ...service.places.map(([, hash, name, key]) => ({
        on: [key],
        shown: key,
        does: name,
        run: go(hash),
      })),
    ],
    new AbortController().signal,
  );
  document.getElementById("keys").addEventListener("click", openSheet);
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  document.getElementById("who").addEventListener("click", async () => {
    await signOut();
    route();
  });
}

/** Back and forward find the place on the page that was left. */
function installPlaces() {
  history.scrollRestoration = "manual";
  let timer;
  window.addEventListener(
    "scroll",
    () => {
      clearTimeout(timer);
      timer = setTimeout(() => history.replaceState({ y: Math.round(window.scrollY) }, ""), 150);
    },
    { passive: true },
  );
  window.addEventListener("hashchange", () => {
    clearTimeout(timer);
    const [path, query = ""] = location.hash.slice(1).split("?");
    if (path !== shown.path || !shown.follow?.(new URLSearchParams(query))) route();
  });
}
