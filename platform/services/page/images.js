// Thumbnails come a few at a time, nearest first; what has left the screen is not asked for.

import { ask } from "./api.js";

const AT_ONCE = 6;
let waiting = [];
let loading = 0;
let resting = false;

/** Show a picture when its turn comes; leaving the document gives the turn up. */
export function showPicture(image, url) {
  if (image.dataset.url === url) return;
  image.dataset.url = url;
  waiting.push({ image, url });
  next();
}

function next() {
  waiting = waiting.filter(({ image, url }) => image.isConnected && image.dataset.url === url);
  while (!resting && loading < AT_ONCE && waiting.length) begin(waiting.shift());
}

function begin({ image, url }) {
  loading += 1;
  const end = () => {
    image.onload = image.onerror = null;
    loading -= 1;
    next();
  };
  image.onload = () => {
    image.classList.add("here");
    end();
  };
  image.onerror = () => {
    end();
    if (image.dataset.url === url && image.isConnected) askAgain(image, url);
  };
  image.src = url;
}

/** An image does not say why it failed; asking does, and waits if the service was busy. */
async function askAgain(image, url) {
  if (image.dataset.again) return;
  image.dataset.again = "1";
  resting = true;
  try {
    await ask(url);
    waiting.unshift({ image, url });
  } catch {
    image.classList.add("missing");
    image.alt = "The picture cannot be shown";
  } finally {
    resting = false;
    delete image.dataset.again;
    next();
  }
}
