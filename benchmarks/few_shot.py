"""Few-shot accuracy on real pictures: mean and spread over draws of the normal ones.

    python -m benchmarks.few_shot --data ../shared/data --encoder embedded:efficientnet-lite0

Every draw takes k normal pictures of the training split and scores the test split. Pictures are
encoded once, whatever the number of draws. ``--unlabelled 50`` compares with so many pictures of
the scored split too, whose labels are not looked at: that is another protocol, and with ``--k 0``
it needs no normal picture. ``score_over_encode`` is the time of scoring one encoded picture over
that of opening and encoding it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from millsight.evaluation.metrics import BootstrapConfig, MapEvaluation, evaluate_maps
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.pictures import open_mask, open_picture
from millsight.platform.catalog.sample import Sample
from millsight.platform.config import from_mapping
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.references import choose_references, order_unlabelled
from millsight.pretraining.kead.unlabelled import Identity

BESIDE = Console(stderr=True)
METRICS = ("image_auroc", "pixel_auroc", "aupro", "image_ap", "image_f1_max")


def measure(catalog: Catalog, config: KeADConfig, draws: int, split: str) -> dict[str, Any]:
    """Score one split with each draw; returns mean, spread and every draw of each metric."""
    kead = KeAD.load(config)
    samples = catalog.where(split=split).samples
    start = time.perf_counter()
    encoded = [
        kead.encoder.encode(kead.encoder.prepare(open_picture(sample.uri))[None])
        for sample in track(samples, f"{catalog.uri}: {config.encoder}", console=BESIDE)
    ]
    seconds = {"encode": draws * (time.perf_counter() - start), "score": 0.0}
    masks = [_mask(sample) for sample in samples]
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    for seed in range(draws):
        drawn = replace(config, seed=seed)
        category, references = next(iter(choose_references(catalog.samples, drawn).items()))
        unlabelled = order_unlabelled(samples, drawn)[category][: config.unlabelled]
        kead.learn(
            category,
            [open_picture(sample.uri) for sample in references],
            ((Identity.of(sample), open_picture(sample.uri)) for sample in unlabelled),
        )
        # Another picture of a normal one's object is no fair test.
        known = {sample.group or sample.id for sample in references}
        kept = [i for i, sample in enumerate(samples) if (sample.group or sample.id) not in known]
        start = time.perf_counter()
        scores = [
            kead.score_features(encoded[i], category, [Identity.of(samples[i])])[0] for i in kept
        ]
        seconds["score"] += time.perf_counter() - start
        evaluation = _judge(
            [samples[i] for i in kept],
            [masks[i] for i in kept],
            [score.score for score in scores],
            [score.map for score in scores],
        )
        for name in METRICS:
            found[name].append(getattr(evaluation.mean, name).value)
    return {
        "data": catalog.uri.rsplit("/", 1)[-1],
        "split": split,
        "encoder": config.encoder,
        "weights": kead.encoder.spec.weights.sha256[:16],
        "pictures": len(samples),
        "k": config.k,
        "unlabelled": config.unlabelled,
        "score_over_encode": seconds["score"] / seconds["encode"],
        **{name: _summary(values) for name, values in found.items()},
    }


def _mask(sample: Sample) -> np.ndarray | None:
    size = (sample.width or 0, sample.height or 0)
    return None if sample.mask_uri is None else open_mask(sample.mask_uri, size)


def _judge(
    samples: Sequence[Sample],
    masks: Sequence[np.ndarray | None],
    scores: Sequence[float],
    maps: Sequence[np.ndarray],
) -> MapEvaluation:
    return evaluate_maps(
        scores,
        [sample.defective for sample in samples],
        maps,
        masks,
        categories=["all"] * len(samples),
        sizes=[(sample.height or 0, sample.width or 0) for sample in samples],
        bootstrap=BootstrapConfig(n_resamples=0),
    )


def _summary(values: Sequence[float]) -> dict[str, Any]:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return {"mean": float(np.mean(values)), "sd": spread, "draws": list(values)}


def main() -> None:
    """Measure every data set with every encoder and print a line, or JSON, for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets")
    parser.add_argument("--sets", nargs="+", default=["magnetic-tile", "kolektor-sdd-512"])
    parser.add_argument(
        "--encoder", nargs="+", default=["embedded:efficientnet-lite0", "embedded:micro-clip"]
    )
    parser.add_argument("--split", default="test")
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--unlabelled", type=int, default=0, help="pictures of the scored split")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--set", nargs="*", default=[], help="KeAD settings, KEY=VALUE")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = []
    for name in arguments.sets:
        catalog = load_data(arguments.data / name)
        for encoder in arguments.encoder:
            settings = dict(item.split("=", 1) for item in arguments.set)
            given = {"encoder": encoder, "k": arguments.k, "unlabelled": arguments.unlabelled}
            config = from_mapping(KeADConfig, {**given, **settings}, "set")
            results.append(measure(catalog, config, arguments.draws, arguments.split))
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    console = Console()
    for row in results:
        numbers = "  ".join(f"{m} {row[m]['mean']:.3f}±{row[m]['sd']:.3f}" for m in METRICS)
        settings = f"k={row['k']} unlabelled={row['unlabelled']}"
        console.print(f"{row['data']} {row['encoder']} {settings}: {numbers}", soft_wrap=True)


if __name__ == "__main__":
    main()
