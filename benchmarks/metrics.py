"""Metrics against scikit-learn, pycocotools, torchmetrics and anomalib, on the same arrays.

``python -m benchmarks.metrics --json`` prints, from one run on random arrays in memory:

- ``ranking_over_sklearn_auroc``: AUROC, AP, F1-max and AUPRO of 6 million pixels, regions numbered
  and sorted, over scikit-learn's ``roc_auc_score`` alone;
- ``detection_speedup_over_pycocotools``: pycocotools' evaluation over ours (all boxes, per class
  and per size), each from the arrays, without resamples;
- ``masks_10k_seconds``: pixel counts of 10,000 mask pairs of 256x256.

The contestants of a round run right after one another, in alternating order, and each ratio is the
median over rounds of that round's ratio: what else the machine does falls on both. The slow peers
(``--peer_rounds``) run beside ours in the same way.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.kead import alternate, ratio
from millsight.evaluation.metrics import BootstrapConfig, aupro, picture_pixels, pixel_curve
from millsight.evaluation.metrics.box_matches import PictureBoxes
from millsight.evaluation.metrics.detection import DetectionEvaluation, evaluate_boxes
from millsight.evaluation.metrics.masks import count_masks

SIDE = 256
MAPS = 92
MASK_PAIRS = 10_000
MASK_BATCH = 500
CLASSES = tuple("abcdef")
BOXES = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the three headline ratios")
    parser.add_argument("--peer_rounds", type=int, default=1, help="rounds of the other peers")
    parser.add_argument("--pictures", type=int, default=1000, help="pictures with 10 boxes each")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    result = ranking(arguments.rounds, arguments.peer_rounds)
    result |= detection(arguments.pictures, arguments.rounds, arguments.peer_rounds)
    result |= masks(arguments.rounds)
    result |= {"rounds": arguments.rounds, "peer_rounds": arguments.peer_rounds}
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:36} {value}")


def ranking(rounds: int, peer_rounds: int) -> dict[str, Any]:
    """Four ranking metrics of maps against one of scikit-learn's, torchmetrics' and anomalib's."""
    from anomalib.metrics.aupro import _AUPRO
    from sklearn.metrics import roc_auc_score
    from torchmetrics.functional.classification import binary_auroc

    maps, defects = anomaly_maps(np.random.default_rng(0))
    scores, labels = maps.ravel(), defects.ravel()
    tensors = torch.from_numpy(maps), torch.from_numpy(defects).int()

    def four_in_one() -> tuple[float, float]:
        curve = pixel_curve([picture_pixels(*pair) for pair in zip(maps, defects, strict=True)])
        curve.average_precision()
        curve.f1_max()
        return float(curve.auroc()), float(aupro(curve))

    def anomalib() -> float:
        metric = _AUPRO(fpr_limit=0.3)
        metric.update(*tensors)
        return float(metric.compute())

    times = alternate(
        {"sklearn": lambda: roc_auc_score(labels, scores), "own": four_in_one}, rounds
    )
    peers = {
        "anomalib_aupro": anomalib,
        "torchmetrics_auroc": lambda: binary_auroc(tensors[0].ravel(), tensors[1].ravel()),
        "own": four_in_one,
    }
    beside = alternate(peers, peer_rounds)
    return {
        "ranking_over_sklearn_auroc": round(ratio(times, "own", "sklearn"), 4),
        "ranking_seconds": seconds(times["own"]),
        "sklearn_auroc_seconds": seconds(times["sklearn"]),
        "ranking_over_torchmetrics_auroc": round(ratio(beside, "own", "torchmetrics_auroc"), 4),
        "ranking_over_anomalib_aupro": round(ratio(beside, "own", "anomalib_aupro"), 4),
        "auroc_minus_sklearn": four_in_one()[0] - float(roc_auc_score(labels, scores)),
        "aupro_minus_anomalib": four_in_one()[1] - anomalib(),
        "n_scores": scores.size,
    }


def anomaly_maps(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Maps in [0, 1], as torchmetrics wants them, and masks: every other picture has defects."""
    defects = np.zeros((MAPS, SIDE, SIDE), dtype=bool)
    for mask in defects[::2]:
        for y, x, height, width in rng.integers(10, 60, (3, 4)) * (3, 3, 1, 1):
            mask[y : y + height, x : x + width] = True
    noise = rng.normal(size=defects.shape).astype(np.float32)
    return 1 / (1 + np.exp(-noise - defects)), defects


def detection(n_pictures: int, rounds: int, peer_rounds: int) -> dict[str, Any]:
    """Our mAP against pycocotools' and torchmetrics'."""
    pictures = boxed_pictures(np.random.default_rng(0), n_pictures)

    def own() -> DetectionEvaluation:
        return evaluate_boxes(pictures, CLASSES, bootstrap=BootstrapConfig(n_resamples=0))

    times = alternate({"pycocotools": lambda: pycocotools_map(pictures), "own": own}, rounds)
    peers: dict[str, Callable[[], object]] = {
        "torchmetrics": lambda: torchmetrics_map(pictures),
        "own": own,
    }
    beside = alternate(peers, peer_rounds)
    return {
        "detection_speedup_over_pycocotools": round(ratio(times, "pycocotools", "own"), 2),
        "detection_seconds": seconds(times["own"]),
        "pycocotools_seconds": seconds(times["pycocotools"]),
        "detection_speedup_over_torchmetrics": round(ratio(beside, "torchmetrics", "own"), 2),
        "map_minus_pycocotools": own().all.map_50_95.value - pycocotools_map(pictures),
        "n_pictures": n_pictures,
    }


def boxed_pictures(rng: np.random.Generator, n_pictures: int) -> list[PictureBoxes]:
    """Ten true boxes each, found with a shift of some pixels."""
    pictures = []
    for _ in range(n_pictures):
        corner, size = rng.uniform(0, 300, (BOXES, 2)), rng.uniform(5, 150, (BOXES, 2))
        truth, labels = np.hstack([corner, corner + size]), rng.integers(0, len(CLASSES), BOXES)
        found = truth + rng.normal(0, 4, truth.shape)
        pictures.append(PictureBoxes(truth, labels, found, labels, rng.random(BOXES)))
    return pictures


def pycocotools_map(pictures: list[PictureBoxes]) -> float:
    """mAP@.5:.95 by pycocotools, from the arrays."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    sides = []
    for true in (True, False):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": row + 1} for row in range(len(pictures))],
            "categories": [{"id": label + 1} for label in range(len(CLASSES))],
            "annotations": annotations(pictures, true=true),
        }
        sides.append(coco)
    with contextlib.redirect_stdout(io.StringIO()):
        for coco in sides:
            coco.createIndex()
        run = COCOeval(*sides, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[0])


def annotations(pictures: list[PictureBoxes], *, true: bool) -> list[dict[str, Any]]:
    """COCO annotations of the true, or of the predicted, boxes."""
    rows: list[dict[str, Any]] = []
    for image, picture in enumerate(pictures, 1):
        corners = (picture.truth_boxes if true else picture.boxes).tolist()
        labels = (picture.truth_labels if true else picture.labels).tolist()
        triples = zip(corners, labels, picture.scores.tolist(), strict=True)
        for (x0, y0, x1, y1), label, score in triples:
            row = {"id": len(rows) + 1, "image_id": image, "category_id": label + 1}
            row |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
            rows.append(row | {"score": score, "iscrowd": 0})
    return rows


def torchmetrics_map(pictures: list[PictureBoxes]) -> float:
    """mAP@.5:.95 by torchmetrics with its faster backend."""
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(backend="faster_coco_eval")
    found = [
        {
            "boxes": torch.from_numpy(picture.boxes),
            "labels": torch.from_numpy(picture.labels),
            "scores": torch.from_numpy(picture.scores),
        }
        for picture in pictures
    ]
    truth = [
        {
            "boxes": torch.from_numpy(picture.truth_boxes),
            "labels": torch.from_numpy(picture.truth_labels),
        }
        for picture in pictures
    ]
    metric.update(found, truth)
    return float(metric.compute()["map"])


def masks(rounds: int) -> dict[str, Any]:
    """Pixel counts of 10,000 mask pairs; one batch is counted again and again to spare memory."""
    rng = np.random.default_rng(0)
    predicted, true = rng.random((2, MASK_BATCH, SIDE, SIDE), dtype=np.float32) < 0.1

    def count() -> None:
        for _ in range(MASK_PAIRS // MASK_BATCH):
            count_masks(predicted, true)

    return {"masks_10k_seconds": seconds(alternate({"own": count}, rounds)["own"])}


def seconds(times: list[float]) -> float:
    """Median over rounds."""
    return round(statistics.median(times), 4)


if __name__ == "__main__":
    main()
