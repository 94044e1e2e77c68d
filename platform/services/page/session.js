// Who is using the page, and signing in and out.

import { ask, token } from "./api.js";
import { h } from "./dom.js";
import { openDialog } from "./keys.js";

/** `me` is null until the service has said who asks. */
export const session = { me: null };

/** Ask the service who we are; throws a Problem of status 401 if it does not know. */
export async function loadSession() {
  session.me = await ask("/me");
  const button = document.getElementById("who");
  button.hidden = session.me.open_access;
  button.textContent = "Sign out";
  button.title = `Signed in as ${session.me.name} (${session.me.scopes.join(", ")})`;
}

export function may(scope) {
  const { open_access: open, scopes } = session.me;
  return open || scopes.includes(scope) || scopes.includes("admin");
}

/** Whether changing something would be let through: the cookie alone is for reading. */
export function canWrite() {
  return session.me.open_access || token.get() !== null;
}

/** Ask for a token; resolves once the service has taken one, rejects if the dialog is closed. */
export function signIn(reason) {
  return new Promise((resolve, reject) => {
    const field = h("input", {
      type: "password",
      name: "token",
      id: "token",
      autocomplete: "current-password",
      autofocus: true,
      required: true,
      spellcheck: "false",
    });
    const wrong = h("p", { class: "wrong", role: "alert" });
    const send = h("button", { class: "primary" }, "Sign in");
    const form = h(
      "form",
      { class: "fields" },
      h("p", {}, reason),
      h("label", { for: "token" }, "Token"),
      field,
      wrong,
      send,
      h(
        "p",
        { class: "soft" },
        "The service's operator makes tokens with ",
        h("code", {}, "millsight tokens create"),
        ". Yours is kept until you close this tab.",
      ),
    );
    const dialog = openDialog("Sign in", form);
    let done = false;
    dialog.addEventListener("close", () => {
      if (!done) reject(new DOMException("closed", "AbortError"));
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      send.disabled = true;
      wrong.textContent = "";
      try {
        await enter(field.value.trim());
        done = true;
        dialog.close();
        resolve();
      } catch (problem) {
        wrong.textContent =
          problem.status === 401 ? "The service does not know this token." : problem.message;
        field.select();
      } finally {
        send.disabled = false;
      }
    });
  });
}

async function enter(text) {
  await ask("/session", { method: "POST", headers: { Authorization: `Bearer ${text}` } });
  token.set(text);
  await loadSession();
}

/** Do what needs a token in the header; asks for it where this tab has none. */
export async function asWriter(work) {
  if (!canWrite()) await signIn("Reading goes by your cookie; to change something, give your token again.");
  return work();
}

export async function signOut() {
  token.clear();
  await ask("/session", { method: "DELETE" });
  session.me = null;
}
