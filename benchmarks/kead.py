"""KeAD against anomalib's WinCLIP and against one bare ``encode_image``, on a CPU.

``python -m benchmarks.kead --json`` prints, from one run on the same random ViT-B-16-plus-240 and
the same batch:

- ``kead_over_encode_image``: a batch's full few-shot score (V-V path, text term, memory bank of
  four pictures, map on the CPU) over ``encode_image`` of that batch;
- ``winclip_over_kead``: anomalib's WinCLIP with the same four references over that KeAD score;
- ``map_bytes_per_picture``: of the Parquet file with these maps.

The contestants of a round run right after one another, in alternating order, and each ratio is the
median over rounds of that round's ratio: what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import torch

from millsight.evaluation.anomaly_maps import AnomalyMap, to_table
from millsight.platform.weights import LoadedWeights, build_model, load_weights
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.scoring import PictureScore

MODEL = "ViT-B-16-plus-240"
CATEGORY = "steel_pipe"
SIDE = 240
SHOTS = 4
MAP_PICTURES = 128


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    parser.add_argument("--batch", type=int, default=8, help="pictures per batch")
    parser.add_argument("--rounds", type=int, default=9, help="rounds against encode_image")
    parser.add_argument("--winclip_rounds", type=int, default=3, help="rounds against WinCLIP")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    result = measure(arguments.batch, arguments.rounds, arguments.winclip_rounds)
    result |= {"model": MODEL, "batch": arguments.batch, "threads": arguments.threads}
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:28} {value}")


def measure(batch: int, rounds: int, winclip_rounds: int) -> dict[str, Any]:
    """Return the ratios, the seconds behind them and the size of a stored map."""
    weights = load_weights(f"random:open_clip:{MODEL}?seed=0")
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(batch + SHOTS)]
    kead = KeAD.load(KeADConfig(k=SHOTS), weights=weights)
    kead.learn(CATEGORY, pictures[batch:])
    pixels = torch.stack([kead.encoder.prepare(picture) for picture in pictures])
    images, references = pixels[:batch], pixels[batch:]
    categories = [CATEGORY] * batch
    clip: Any = build_model(weights)
    winclip = build_winclip(weights, references)

    @torch.inference_mode()
    def encode_image() -> None:
        clip.encode_image(images)

    def score() -> None:
        kead.score_prepared(list(images), categories)

    bare = alternate({"encode_image": encode_image, "kead": score}, rounds)
    peer = alternate({"winclip": lambda: winclip(images), "kead": score}, winclip_rounds)
    return {
        "kead_over_encode_image": round(ratio(bare, "kead", "encode_image"), 4),
        "winclip_over_kead": round(ratio(peer, "winclip", "kead"), 2),
        "map_bytes_per_picture": map_bytes(kead.score_prepared(list(images), categories)),
        "encode_image_seconds": round(statistics.median(bare["encode_image"]), 4),
        "kead_seconds": round(statistics.median(bare["kead"]), 4),
        "winclip_seconds": round(statistics.median(peer["winclip"]), 4),
        "rounds": rounds,
        "winclip_rounds": winclip_rounds,
    }


def build_winclip(weights: LoadedWeights, references: torch.Tensor) -> Any:
    """Build anomalib's WinCLIP around the same tensors."""
    import open_clip
    from anomalib.models.image.winclip.torch_model import WinClipModel

    factory = open_clip.create_model_and_transforms

    def untrained(name: str, **_: Any) -> Any:
        return factory(name, pretrained=None)

    # anomalib names pretrained weights that would have to be downloaded.
    with patch.object(open_clip, "create_model_and_transforms", untrained):
        model = WinClipModel()
    model.clip.load_state_dict(weights.state_dict)
    model.eval()
    model.setup("steel pipe", references)
    return model


def alternate(
    contestants: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Time the contestants once per round, in turning order, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        order = list(contestants) if number % 2 else list(reversed(contestants))
        for name in order:
            start = time.perf_counter()
            contestants[name]()
            elapsed = time.perf_counter() - start
            if number:
                seconds[name].append(elapsed)
    return seconds


def ratio(seconds: Mapping[str, list[float]], first: str, second: str) -> float:
    """Median over rounds of the first contestant's time over the second's."""
    return statistics.median(a / b for a, b in zip(seconds[first], seconds[second], strict=True))


def map_bytes(scores: list[PictureScore]) -> float:
    """Bytes per picture of a Parquet file as ``millsight extract`` writes it."""
    rows = []
    for i in range(MAP_PICTURES):
        score = scores[i % len(scores)]
        noise = np.random.default_rng(i).normal(0, 1e-3, score.map.shape)
        item = AnomalyMap(
            sample_id=f"{np.random.default_rng(i).bytes(16).hex()}",
            uri=f"pictures/line-1/{i:06d}.png",
            category=CATEGORY,
            score=score.score + float(noise[0, 0]),
            class_score=score.class_score,
            width=1024,
            height=1024,
            grid=(score.map + noise).astype(np.float16),
        )
        rows.append(item)
    buffer = io.BytesIO()
    pq.write_table(to_table(rows), buffer, compression="zstd")
    return round(len(buffer.getvalue()) / MAP_PICTURES, 1)


if __name__ == "__main__":
    main()
