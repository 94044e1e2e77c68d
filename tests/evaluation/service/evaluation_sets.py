"""Tiny datasets with exact truth, and predictions for them; shared by the service's tests."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from millsight.evaluation.service.config import DatasetConfig
from millsight.platform.catalog.catalog import Catalog, content_id
from millsight.platform.catalog.sample import Sample

WIDTH, HEIGHT = 48, 40
CLASSES = ("good", "pit", "scratch")
BOX = (10, 8, 22, 18)
Masks = Mapping[str, np.ndarray]


def make_dataset(
    folder: Path, name: str, *, n: int = 24, turn: int = 0, labels: str = "open"
) -> DatasetConfig:
    """Write n pictures with class, mask and box; ``turn`` gives the same pictures other truth."""
    samples = []
    for number in range(n):
        rng = np.random.default_rng(number)
        picture = rng.integers(60, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        label = CLASSES[(number + turn) % len(CLASSES)]
        path = folder / name / label / f"part{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = cv2.imencode(".png", picture)[1].tobytes()
        path.write_bytes(data)
        mask = None if label == "good" else path.with_name(f"{path.stem}_true.png")
        if mask is not None:
            mask.write_bytes(png(true_mask(label)))
        samples.append(
            Sample(
                id=content_id(data),
                uri=str(path),
                category="plate",
                split="test",
                label=label,
                mask_uri=None if mask is None else str(mask),
                boxes=() if mask is None else (BOX,),
                box_labels=() if mask is None else (label,),
                width=WIDTH,
                height=HEIGHT,
            )
        )
    catalog = folder / f"{name}.parquet"
    Catalog(tuple(samples), uri=str(folder / name), layout="test").write(catalog)
    return DatasetConfig(name=name, data=str(catalog), split="test", labels=labels)  # type: ignore[arg-type]


def true_mask(label: str) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if label != "good":
        mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    return mask


def samples_of(config: DatasetConfig) -> list[Sample]:
    return sorted(Catalog.read(config.data).samples, key=lambda sample: sample.id)


def png(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


def zip_of(files: Mapping[str, bytes | str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def scores_csv(rows: Sequence[Sequence[object]], header: Sequence[str] = ("file", "score")) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue()


def detections(samples: Sequence[Sample], keep: Callable[[int], bool] = bool) -> list[Any]:
    """True boxes as COCO results, of those pictures whose number ``keep`` accepts."""
    x0, y0, x1, y1 = BOX
    return [
        {
            "image_id": sample.id,
            "category_id": sample.label,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": 0.9,
        }
        for number, sample in enumerate(samples, start=1)
        if sample.label != "good" and keep(number)
    ]


def full_zip(config: DatasetConfig, wrong: Sequence[int] = ()) -> bytes:
    """Masks, scores, classes and boxes: all right but for the pictures of these numbers."""
    samples = samples_of(config)
    files: dict[str, bytes | str] = {}
    lines = []
    for number, sample in enumerate(samples):
        label = str(sample.label)
        if number in wrong:
            label = "good" if label != "good" else "pit"
        files[f"masks/{sample.id}.png"] = png(true_mask(label))
        score = (0.1 if label == "good" else 0.8) + number / 1000
        lines.append((sample.id, f"{score:.4f}", label))
    files["scores.csv"] = scores_csv(lines, ("file", "score", "label"))
    files["detections.json"] = json.dumps(detections(samples))
    return zip_of(files)


def onnx_model(height: int = 16, width: int = 16, **changes: Any) -> bytes:
    """A tiny model of the contract: its mask is the brightness, its score the brightest pixel."""
    import onnx
    from onnx import TensorProto, helper

    pictures = helper.make_tensor_value_info(
        changes.get("input_name", "pictures"), TensorProto.FLOAT, ["batch", 3, height, width]
    )
    masks = helper.make_tensor_value_info(
        "mask_probabilities", TensorProto.FLOAT, ["batch", 1, height, width]
    )
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch"])
    gain = helper.make_tensor("gain", TensorProto.FLOAT, [1], [changes.get("gain", 1.0)])
    nodes = [
        helper.make_node("Mul", [pictures.name, "gain"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled"], ["mask_probabilities"], axes=[1], keepdims=1),
        helper.make_node(
            "ReduceMax", ["mask_probabilities"], ["scores"], axes=[1, 2, 3], keepdims=0
        ),
    ]
    graph = helper.make_graph(nodes, "tiny", [pictures], [masks, scores], [gain])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
