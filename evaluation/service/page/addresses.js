// Where the service shows pictures and what lies on them.

import { address } from "./api.js";

export function pictureAddress(dataset, sample, size) {
  return address(`/datasets/${encodeURIComponent(dataset)}/pictures/${encodeURIComponent(sample)}`, { size });
}

export function overlayAddress(run, sample, layer) {
  return address(`/runs/${encodeURIComponent(run)}/pictures/${encodeURIComponent(sample)}/overlay`, {
    layer,
  });
}
