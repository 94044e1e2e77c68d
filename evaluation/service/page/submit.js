// Hand in predictions or a model: drop them, name the run, watch the job.

import { address, all, bearer, newKey, Problem, problemOf } from "./api.js";
import { h } from "./dom.js";
import { jobCard } from "./job.js";
import { runOf } from "./jobs.js";
import { count, number } from "./numbers.js";
import { asWriter, may } from "./session.js";
import { zipFiles } from "./zip.js";

const MIB = 2 ** 20;
const TYPES = { zip: "application/zip", json: "application/json", csv: "text/csv" };
const DECIDE = {
  auto: "by what is there",
  score: "by the picture's score",
  pixels: "by marked pixels",
  label: "by the called class",
  boxes: "by found boxes",
};
const TRIES = 4;

export async function submitView({ query, signal, show }) {
  const datasets = await all("/datasets", {}, signal);
  if (!may("submit")) {
    show(
      "Submit",
      h("h1", {}, "Submit"),
      h("p", {}, "Your token is for reading. Ask the service's operator for one that may submit."),
    );
    return;
  }
  const form = new SubmitForm(datasets, query.get("dataset"), signal);
  show("Submit", h("h1", {}, "Submit"), form.element, form.outcome);
}

class SubmitForm {
  constructor(datasets, wanted, signal) {
    this.signal = signal;
    this.files = [];
    this.dataset = h(
      "select",
      { id: "dataset" },
      datasets.map(({ id, title, n_pictures: n }) =>
        h("option", { value: id, selected: id === wanted }, `${title || id} (${count(n)} pictures)`),
      ),
    );
    this.name = h("input", {
      id: "name",
      required: true,
      maxlength: 200,
      autocomplete: "off",
      placeholder: "what you will know it by",
    });
    this.threshold = h("input", { id: "threshold", type: "number", step: "any", placeholder: "0.5" });
    this.decide = h(
      "select",
      { id: "decide" },
      Object.entries(DECIDE).map(([value, text]) => h("option", { value }, text)),
    );
    this.chosen = h("p", { class: "chosen", role: "status" }, "Nothing chosen yet");
    this.wrong = h("p", { class: "wrong", role: "alert" });
    this.send = h("button", { class: "primary" }, "Submit");
    this.bar = h("progress", { max: 1, value: 0, "aria-label": "Upload", hidden: true });
    this.outcome = h("ol", { class: "jobs" });
    const picker = h("input", {
      type: "file",
      id: "files",
      multiple: true,
      accept: ".zip,.json,.csv,.onnx,.png",
    });
    picker.addEventListener("change", () => this.take([...picker.files].map((file) => [file.name, file])));
    this.element = h(
      "form",
      { class: "submit", onsubmit: (event) => this.submitted(event) },
      this.dropZone(picker),
      h(
        "div",
        { class: "fields" },
        h("label", { for: "dataset" }, "Dataset"),
        this.dataset,
        h("label", { for: "name" }, "Name of the run"),
        this.name,
        h(
          "details",
          {},
          h("summary", {}, "How a picture is called defective"),
          h(
            "div",
            { class: "fields" },
            h("label", { for: "decide" }, "Decide"),
            this.decide,
            h("label", { for: "threshold" }, "Threshold"),
            this.threshold,
          ),
        ),
        this.wrong,
        this.bar,
        this.send,
      ),
    );
  }

  dropZone(picker) {
    const zone = h(
      "div",
      { class: "drop" },
      h(
        "p",
        {},
        h("label", { for: "files", class: "button" }, "Choose files"),
        picker,
        h("span", { class: "wide-only" }, " or drop them here, a folder too"),
      ),
      this.chosen,
      h(
        "ul",
        { class: "soft" },
        h("li", {}, h("b", {}, ".json"), " boxes as COCO results"),
        h("li", {}, h("b", {}, ".csv"), " scores, one line per picture"),
        h("li", {}, h("b", {}, ".png"), " masks named after their pictures"),
        h("li", {}, h("b", {}, ".onnx"), " a model, run on the server"),
        h("li", {}, h("b", {}, ".zip"), " any mix of these"),
      ),
    );
    const over = (is) => (event) => {
      event.preventDefault();
      zone.classList.toggle("over", is);
    };
    zone.addEventListener("dragover", over(true));
    zone.addEventListener("dragleave", over(false));
    zone.addEventListener("drop", async (event) => {
      over(false)(event);
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
      this.take((await Promise.all(entries.map((entry) => filesOf(entry)))).flat(), entries[0]?.name);
    });
    return zone;
  }

  take(files, name = files[0]?.[0]) {
    this.files = files;
    const size = files.reduce((sum, [, file]) => sum + file.size, 0);
    this.chosen.textContent = files.length
      ? `${files.length === 1 ? files[0][0] : `${count(files.length)} files`}, ${number(size / MIB, { plain: true, digits: 1 })} MiB`
      : "Nothing chosen yet";
    this.wrong.textContent = "";
    if (files.length && !this.name.value) this.name.value = name.replace(/\.[^.]+$/, "");
  }

  async submitted(event) {
    event.preventDefault();
    this.wrong.textContent = this.files.length ? "" : "Choose a file first.";
    if (!this.files.length) return;
    this.send.disabled = true;
    this.bar.hidden = false;
    try {
      const body = await packed(this.files);
      const job = await asWriter(() => this.upload(body));
      this.outcome.prepend(
        jobCard(job, this.signal, runOf, (now) => {
          if (now.state === "done" && this.outcome.childElementCount === 1)
            location.hash = `#/runs/${now.result.run}`;
        }),
      );
    } catch (problem) {
      if (problem.name !== "AbortError") this.wrong.textContent = problem.message;
    } finally {
      this.send.disabled = false;
      this.bar.hidden = true;
    }
  }

  async upload(body) {
    const where = address(`/datasets/${encodeURIComponent(this.dataset.value)}/runs`, {
      name: this.name.value,
      threshold: this.threshold.value,
      decide: this.decide.value === "auto" ? "" : this.decide.value,
    });
    const headers = { ...bearer(), "Content-Type": body.type, "Idempotency-Key": newKey() };
    for (let attempt = 1; ; attempt += 1) {
      const { status, content, wait } = await post(where, body, headers, this.signal, (share) => {
        this.bar.value = share;
      });
      if (status < 300) return content;
      if (status !== 429 || attempt === TRIES) throw problemOf(status, content, "");
      // The same key again: should the first have arrived after all, it is the same job.
      this.wrong.textContent = `The service is busy; trying again in ${wait} s.`;
      await new Promise((resolve) => {
        setTimeout(resolve, 1000 * wait);
      });
      this.wrong.textContent = "";
    }
  }
}

/** One body from what was chosen; throws a sentence where it is nothing the service takes. */
async function packed(files) {
  const kind = ([path]) => path.split(".").pop().toLowerCase();
  if (files.length === 1 && TYPES[kind(files[0])]) {
    const [[, file]] = files;
    return file.slice(0, file.size, TYPES[kind(files[0])]);
  }
  const places = {
    onnx: () => "model.onnx",
    json: () => "detections.json",
    csv: () => "scores.csv",
    png: (path) => `masks/${path.replace(/^masks\//, "")}`,
  };
  const members = files
    .filter((file) => places[kind(file)])
    .map(([path, file]) => [places[kind([path])](path), file]);
  const names = new Set(members.map(([path]) => path));
  if (!members.length) throw new Problem(0, "", "None of these is a .zip, .json, .csv, .onnx or .png file.");
  if (names.size < members.length)
    throw new Problem(0, "", "There may be one model, one .json, one .csv and one mask per picture.");
  return zipFiles(members);
}

async function filesOf(entry, path = "") {
  if (entry.isFile)
    return [
      [
        path + entry.name,
        await new Promise((resolve, reject) => {
          entry.file(resolve, reject);
        }),
      ],
    ];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (!some.length) break;
    found.push(...some);
  }
  // The dropped folder's own name is no part of the pictures' names.
  const inside = path || entry.fullPath !== `/${entry.name}` ? `${path}${entry.name}/` : "";
  return (await Promise.all(found.map((one) => filesOf(one, inside)))).flat();
}

/** POST with upload progress, which fetch does not tell. */
function post(where, body, headers, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", where);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    };
    request.onload = () =>
      resolve({
        status: request.status,
        content: request.response,
        wait: Number(request.getResponseHeader("Retry-After")) || 1,
      });
    request.onerror = () =>
      reject(
        new Problem(
          0,
          "",
          "The upload broke off: the service cannot be reached. Submit again when it is back.",
        ),
      );
    signal.addEventListener("abort", () => request.abort());
    request.onabort = () => reject(new DOMException("left", "AbortError"));
    request.send(body);
  });
}
