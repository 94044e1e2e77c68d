// The pictures that only one of two runs decides rightly, side by side.

import { overlayAddress, pictureAddress } from "./addresses.js";
import { Listing } from "./api.js";
import { shareBar } from "./charts.js";
import { h } from "./dom.js";
import { showPicture } from "./images.js";
import { VERDICTS } from "./metrics.js";
import { count, number } from "./numbers.js";
import { openViewer } from "./runviewer.js";

const KINDS = {
  only_first_right: "Only A is right",
  only_second_right: "Only B is right",
  both_wrong: "Both are wrong",
};
const PAIRS = 24;

/** Section with the counts, and the pictures where the caller may see them: {element, load}. */
export function pairsSection(context, { first, second, pictures }) {
  const parts = [
    ["both_right", "both right"],
    ["only_first_right", "only A right"],
    ["only_second_right", "only B right"],
    ["both_wrong", "both wrong"],
  ].map(([kind, name]) => ({ kind: kind.replaceAll("_", "-"), name, value: pictures[kind] }));
  const counts = h(
    "div",
    { class: "side" },
    shareBar(parts),
    h(
      "ul",
      {},
      parts.map((part) =>
        h(
          "li",
          {},
          h("span", { class: `swatch ${part.kind}` }),
          h("b", {}, count(part.value)),
          " ",
          part.name,
        ),
      ),
    ),
  );
  const body = h("div", { class: "pairs-body", "aria-live": "polite" });
  const visible = first.truth_visible && second.truth_visible;
  const element = h("section", { id: "pictures" }, h("h2", {}, "Pictures"), counts);
  if (!visible) return { element, load: () => {} };
  let kind = KINDS[context.query.get("kind")] ? context.query.get("kind") : "only_first_right";
  const load = () => fillPairs(body, context, { first, second, kind, total: pictures[kind] });
  const radios = Object.entries(KINDS).map(([name, title]) => {
    const radio = h("input", { type: "radio", name: "kind", value: name, checked: name === kind });
    radio.addEventListener("change", () => {
      kind = name;
      context.note({ kind });
      load();
    });
    return h(
      "label",
      {},
      radio,
      h("span", {}, title, " ", h("small", { class: "soft" }, count(pictures[name]))),
    );
  });
  element.append(
    h("fieldset", { class: "segments" }, h("legend", { class: "unseen" }, "Which pictures"), radios),
    body,
  );
  return { element, load };
}

async function fillPairs(body, { signal }, { first, second, kind, total }) {
  const listing = new Listing(
    "/compare/pictures",
    { first: first.id, second: second.id, kind, limit: PAIRS },
    signal,
  );
  const list = h("div", { class: "pairs" });
  const more = h("button", { type: "button" }, "More pictures");
  const load = async () => {
    const before = listing.items.length;
    more.disabled = true;
    try {
      await listing.more();
    } catch (problem) {
      if (problem.name !== "AbortError")
        list.append(h("p", { class: "wrong", role: "alert" }, problem.message));
      more.disabled = false;
      return;
    }
    const pairs = listing.items
      .slice(before)
      .map((pair, index) => pairOf(pair, first, second, () => view(before + index)));
    list.append(...pairs);
    for (const image of list.querySelectorAll("img[data-later]")) {
      showPicture(image, image.dataset.later);
      image.removeAttribute("data-later");
    }
    more.disabled = false;
    more.hidden = listing.ended;
    if (!listing.items.length) list.append(h("p", { class: "empty" }, "No such picture."));
  };
  const view = (index) =>
    openViewer({
      total,
      index,
      signal,
      get: async (at) => {
        await listing.until(at);
        const pair = listing.items[at];
        return [
          { run: first, picture: pair.first, name: `A: ${first.name}` },
          { run: second, picture: pair.second, name: `B: ${second.name}` },
        ];
      },
      onClose: () => list.children[Math.min(index, list.children.length - 1)]?.focus(),
    });
  more.addEventListener("click", load);
  body.replaceChildren(list, more);
  await load();
}

function pairOf(pair, first, second, open) {
  const half = (letter, run, picture) => {
    const [verdict = ""] = VERDICTS[picture.verdict] ?? [];
    const shape = h(
      "span",
      { class: "frame" },
      h("img", { alt: "", "data-later": pictureAddress(run.dataset, picture.sample_id, "thumbnail") }),
      picture.has_prediction_mask
        ? h("img", {
            class: "layer",
            alt: "",
            "data-later": overlayAddress(run.id, picture.sample_id, "prediction"),
          })
        : null,
    );
    return h(
      "span",
      { class: "half" },
      shape,
      h(
        "span",
        { class: "caption" },
        h("span", { class: `letter side-${letter.toLowerCase()}` }, letter),
        h("span", { class: `verdict ${picture.verdict ?? ""}` }, verdict),
        h("span", { class: "score" }, picture.score === null ? "" : number(picture.score, { plain: true })),
      ),
    );
  };
  return h(
    "button",
    {
      type: "button",
      class: "pair",
      "data-row": true,
      onclick: open,
    },
    half("A", first, pair.first),
    half("B", second, pair.second),
    h("span", { class: "file soft" }, pair.first.file),
  );
}
