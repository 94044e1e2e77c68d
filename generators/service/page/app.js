// What the page of the generation service has to show, and where.

import { start } from "./frame.js";
import { requestView } from "./request.js";
import { setView } from "./set.js";
import { setsView } from "./sets.js";

start({
  name: "Generation service",
  intro: "Sets of synthetic pictures are made for those with a token.",
  reason: "Give your token to see the sets and to ask for new ones.",
  places: [
    ["sets", "#/", "Sets", "s"],
    ["new", "#/new", "New set", "n"],
  ],
  routes: [
    [/^\/$/, setsView, "sets"],
    [/^\/new$/, requestView, "new"],
    [/^\/sets\/([^/]+)$/, setView, "sets", true],
  ],
});
