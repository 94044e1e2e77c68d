// The command line that makes one picture again.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { openDialog } from "./keys.js";
import { pictureAddress } from "./picture.js";
import { toast } from "./toast.js";

export function recipeOf(set, picture) {
  return ask(`${pictureAddress(set, picture.id)}/recipe`);
}

/** Copy a picture's recipe as a command line; where the browser forbids it, show it to be copied. */
export async function copyRecipe(set, picture) {
  try {
    const { command } = await recipeOf(set, picture);
    await copy(command);
  } catch (problem) {
    toast(problem.message, "bad");
  }
}

async function copy(command) {
  // The clipboard exists on https and on this machine alone.
  try {
    await navigator.clipboard.writeText(command);
    toast("The recipe is copied as a command line.");
  } catch {
    showCommand(command);
  }
}

function showCommand(command) {
  const text = h("textarea", { readonly: true, rows: 6, "aria-label": "Command line" }, command);
  openDialog("Recipe", h("p", {}, "Your browser does not let this page copy. Copy it from here:"), text);
  text.focus();
  text.select();
}

/** What can be unfolded to read a picture's recipe. */
export function recipePart(set, picture) {
  const part = h("details", { class: "recipe" }, h("summary", {}, "Recipe"));
  part.addEventListener(
    "toggle",
    async () => {
      try {
        const { command, yaml, sha256, notes } = await recipeOf(set, picture);
        part.append(
          h("p", { class: "soft" }, "This command makes the very picture again. ", notes.join(" ")),
          h("pre", { tabindex: 0, "aria-label": "Command line" }, command),
          h("button", { type: "button", onclick: () => copy(command) }, "Copy ", h("kbd", {}, "c")),
          h("details", {}, h("summary", {}, "As settings"), h("pre", { tabindex: 0 }, yaml)),
          h("p", { class: "soft" }, "SHA-256 of its file: ", h("code", {}, sha256)),
        );
      } catch (problem) {
        part.append(h("p", { class: "wrong", role: "alert" }, problem.message));
      }
    },
    { once: true },
  );
  return part;
}
