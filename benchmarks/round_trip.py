"""What an autoencoder leaves of real defects: PSNR after encoding and decoding.

    python -m benchmarks.round_trip --data ../shared/data --vae ../shared/weights/taesd

Square crops around defects of the training split, cut as the diffusion engine cuts them and scaled
to each size, are encoded and decoded. ``psnr`` is that of the mean square error over all crops, in
dB; ``worst`` that of the worst crop.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny

from millsight.generators.diffusion.autoencoder import round_trip_psnr
from millsight.generators.diffusion.training.crops import cut_crops
from millsight.generators.masks.sources import defect_classes
from millsight.platform.catalog.catalog import Catalog, load_data

SETS = ["neu-det", "x-sdd", "gc10-det-224", "magnetic-tile", "kolektor-sdd-512"]
CONTEXT = 0.5


def main() -> None:
    """Measure every set at every size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON list only")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets")
    parser.add_argument("--vae", type=Path, required=True, help="folder of an AutoencoderTiny")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[128, 256])
    parser.add_argument("--pictures", type=int, default=16, help="of each set")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    vae = AutoencoderTiny.from_pretrained(arguments.vae).eval()
    rows = [
        measure(vae, load_data(arguments.data / name), size, arguments.pictures)
        for name in arguments.sets
        for size in arguments.sizes
    ]
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


def measure(vae: Any, catalog: Catalog, size: int, pictures: int) -> dict[str, Any]:
    """Return the PSNR of one set's crops at one size."""
    samples = [sample for sample in catalog.where(split="train").samples if sample.defective]
    chosen = np.random.default_rng(0).permutation(len(samples))[:pictures]
    crops = cut_crops(
        [samples[at] for at in chosen],
        defect_classes(samples),
        size,
        context=CONTEXT,
        most=1,
        progress=lambda done, total: None,
    )
    each = [round_trip_psnr(vae, [crop.picture]) for crop in crops]
    return {
        "data": catalog.uri.rsplit("/", 1)[-1],
        "size": size,
        "crops": len(crops),
        "psnr": round(round_trip_psnr(vae, [crop.picture for crop in crops]), 1),
        "worst": round(min(each), 1),
    }


if __name__ == "__main__":
    main()
