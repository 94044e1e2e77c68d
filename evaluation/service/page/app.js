// What the page of the evaluation service has to show, and where.

import { compareView } from "./compare.js";
import { start } from "./frame.js";
import { galleryView } from "./gallery.js";
import { jobsView } from "./jobs.js";
import { datasetsView, leaderboardView } from "./leaderboard.js";
import { runView } from "./run.js";
import { submitView } from "./submit.js";

start({
  name: "Evaluation service",
  intro: "Leaderboards, runs and pictures are shown to those with a token.",
  reason: "Give your token to see the evaluations.",
  places: [
    ["datasets", "#/", "Datasets", "d"],
    ["jobs", "#/jobs", "Jobs", "o"],
    ["submit", "#/submit", "Submit", "s"],
  ],
  routes: [
    [/^\/$/, datasetsView, "datasets"],
    [/^\/datasets\/([^/]+)$/, leaderboardView, "datasets"],
    [/^\/runs\/([^/]+)$/, runView, "datasets"],
    [/^\/runs\/([^/]+)\/gallery$/, galleryView, "datasets", true],
    [/^\/compare\/([^/]+)\/([^/]+)$/, compareView, "datasets"],
    [/^\/jobs$/, jobsView, "jobs"],
    [/^\/submit$/, submitView, "submit"],
  ],
});
