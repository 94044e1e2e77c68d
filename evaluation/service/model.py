"""A client's ONNX model, run on the dataset's pictures.

The contract is what ``millsight finetune multitask`` exports: input ``pictures`` float32
(B, 3, H, W), RGB in [0, 1], of a fixed size; outputs ``mask_probabilities`` float32 (B, 1, H, W)
and ``scores`` float32 (B,), in [0, 1].
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.pixels import resize_map
from millsight.evaluation.results import PictureResult
from millsight.evaluation.service.resizing import resize
from millsight.platform.catalog.pictures import PictureError, open_picture
from millsight.platform.errors import UserError

INPUT, MASKS, SCORES = "pictures", "mask_probabilities", "scores"
MAX_SIDE = 2048
MAX_BYTES = 1 << 30
Report = Callable[[int, int, str], None]


def run_model(path: Path, rows: Sequence[PictureResult], folder: Path, report: Report) -> None:
    """Write a probability mask for each picture, and ``scores.csv``, named by sample id.

    Args:
        path: The ONNX file.
        rows: The pictures.
        folder: Made.
        report: Told the pictures done, in all, and what is being done.

    Raises:
        UserError: If the model does not load, does not keep to the contract or fails.
    """
    session = _open(path)
    size = _size(session)
    folder.mkdir()
    with (folder / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "score"])
        for done, row in enumerate(rows):
            report(done, len(rows), "running the model")
            probability, score = _predict(session, _pixels(row, size))
            values = resize_map(probability, (row.height, row.width))
            grey = np.rint(values * 65_535).astype(np.uint16)
            (folder / f"{row.sample_id}.png").write_bytes(cv2.imencode(".png", grey)[1].tobytes())
            writer.writerow([row.sample_id, score])


def _open(path: Path) -> Any:
    import onnxruntime

    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"model.onnx is larger than {MAX_BYTES >> 20} MiB.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        # From bytes, since a model that knows its folder may name further files to read.
        return onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    # onnxruntime raises a dozen kinds of its own, without a common base but Exception.
    except Exception as error:
        raise UserError(f"model.onnx does not load: {_text(error)}") from None


def _size(session: Any) -> tuple[int, int]:
    inputs = {item.name: item for item in session.get_inputs()}
    outputs = {item.name for item in session.get_outputs()}
    if set(inputs) != {INPUT} or not {MASKS, SCORES} <= outputs:
        raise UserError(
            f"model.onnx has inputs {sorted(inputs)!s:.100} and outputs {sorted(outputs)!s:.100}; "
            f"it needs the input {INPUT} and the outputs {MASKS} and {SCORES}, as "
            "`millsight finetune multitask --formats onnx` writes them."
        )
    shape = inputs[INPUT].shape
    sides = shape[2:]
    if (
        inputs[INPUT].type != "tensor(float)"
        or len(shape) != 4
        or shape[1] != 3
        or not all(isinstance(side, int) and 0 < side <= MAX_SIDE for side in sides)
    ):
        raise UserError(
            f"model.onnx takes {inputs[INPUT].type} of shape {shape}; it has to be float32 "
            f"(batch, 3, height, width) with sides fixed, at most {MAX_SIDE}."
        )
    return sides[0], sides[1]


def _pixels(row: PictureResult, size: tuple[int, int]) -> NDArray[np.float32]:
    """``(1, 3, H, W)`` float32 in [0, 1], reduced as in training."""
    try:
        picture = open_picture(row.uri)
    except PictureError as error:
        raise UserError(f"picture {row.sample_id} of the dataset: {error}.") from None
    reduced = resize(picture, size).astype(np.float32) / 255
    return np.ascontiguousarray(reduced.transpose(2, 0, 1)[None])


def _predict(session: Any, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    try:
        found = session.run([MASKS, SCORES], {INPUT: pixels})
    except Exception as error:
        raise UserError(f"model.onnx fails on a picture: {_text(error)}") from None
    probability, score = (np.asarray(value, np.float32) for value in found)
    wanted = (1, 1, *pixels.shape[2:])
    if probability.shape != wanted or score.shape != (1,):
        raise UserError(
            f"model.onnx returns shapes {probability.shape} and {score.shape} for one picture, not "
            f"{wanted} and (1,)."
        )
    for values in (probability, score):
        if not ((values >= 0) & (values <= 1)).all():
            raise UserError("model.onnx returns values that are not in [0, 1].")
    return probability[0, 0], float(score[0])


def _text(error: Exception) -> str:
    return (str(error) or type(error).__name__).split("\n", maxsplit=1)[0][:200]
