// A set: pictures arriving, what the filters found, keeping and rejecting, the zip.

import { ask } from "./api.js";
import { announce } from "./dom.js";
import { ENDED, follow } from "./job.js";
import { setAddress } from "./picture.js";
import { Pictures } from "./pictures.js";
import { SetGallery } from "./setgallery.js";
import { SetHead } from "./sethead.js";
import { SetNumbers } from "./setnumbers.js";
import { titleOf } from "./words.js";

const REST_MS = 250;

export async function setView(context) {
  const {
    parts: [id],
    signal,
    show,
  } = context;
  const set = await ask(setAddress(id), { signal });
  const pictures = new Pictures(set, signal);
  await pictures.load();
  const gallery = new SetGallery(context, set, pictures);
  const numbers = new SetNumbers(set, pictures);
  const update = (now) => {
    sayQuarter(set, now);
    Object.assign(set, now);
    for (const part of [head, numbers, gallery]) part.update();
  };
  const head = new SetHead(set, ({ cancelling }) => {
    update({ cancelling });
    refresh();
  });
  const refresh = resting(async () => {
    const [now] = await Promise.all([ask(setAddress(id), { signal }), pictures.load()]);
    gallery.grown();
    update(now);
  }, signal);
  gallery.onDecision = () => {
    const { kept, dropped } = pictures.counts();
    Object.assign(set, { kept, dropped });
    head.updateZips();
    numbers.counted();
  };
  update(set);
  show(titleOf(set), head.element, numbers.element, gallery.toolbar, gallery.grid.element);
  gallery.start();
  if (!ENDED.includes(set.state)) follow({ id }, refresh, signal);
}

/** Tell those who do not see it how far the set is, four times in all. */
function sayQuarter({ accepted: before, count: wanted }, { accepted: after = before }) {
  const quarter = (accepted) => Math.floor((4 * accepted) / wanted);
  if (quarter(after) > quarter(before)) announce(`${after} of ${wanted} accepted`);
}

/** Call `work` now, or once more after what runs and a short rest: events come in crowds. */
function resting(work, signal) {
  let running = false;
  let again = false;
  return async function call() {
    again = true;
    if (running) return;
    running = true;
    while (again && !signal.aborted) {
      again = false;
      // What failed is asked for again with the next event; that the service is gone, others say.
      await work().catch(() => {});
      await new Promise((resolve) => {
        setTimeout(resolve, REST_MS);
      });
    }
    running = false;
  };
}
