"""The ONNX file computes what the detector does, and a file that does not is told from it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch
from tiny_detectors import SIDE, TINY, detr, disturbed, faster_rcnn

from millsight.pretraining.detector import deployed
from millsight.pretraining.detector.deployed import export_onnx
from millsight.pretraining.detector.faster_rcnn import FasterRCNNDetector
from millsight.pretraining.detector.interface import MAX_DETECTIONS, Detections

PICTURE = torch.zeros(3, 100, 50)


def found(*rows: tuple[float, int, float]) -> Detections:
    """Squares of 10 pixels by left edge, label and score."""
    boxes = [[x, 0.0, x + 10, 10.0] for x, _, _ in rows]
    labels, scores = [row[1] for row in rows], [row[2] for row in rows]
    return Detections(
        torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels).long(), torch.tensor(scores)
    )


def difference(one: Detections, other: Detections, floor: float = 0.0) -> float:
    return deployed._difference(one, other, PICTURE, floor)


def test_differences_by_hand() -> None:
    one, two, equal = (0.0, 0, 0.9), (20.0, 1, 0.5), (20.0, 1, 0.9)
    assert difference(found(one, equal), found(equal, one)) == 0
    assert difference(found(two), found(one), floor=1.0) == pytest.approx(0.4)
    assert difference(found(), found()) == 0
    assert difference(found(one), found((5.0, 0, 0.9))) == pytest.approx(0.05)
    assert difference(found(one), found((0.0, 0, 0.7))) == pytest.approx(0.2)
    assert difference(found(one), found((0.0, 1, 0.9))) == math.inf
    for pair in (
        (found(one, two), found(one)),
        (found(one), found(one, two)),
        (found(one), found()),
    ):
        assert difference(*pair) == math.inf
        assert difference(*reversed(pair)) == math.inf
    # On the edge of what is given out, either may leave one out.
    assert difference(found(one, two), found(one), floor=0.4999) == 0
    many = [(20.0 * i, 0, 0.9) for i in range(MAX_DETECTIONS - 1)]
    last, other = found(*many, (-40.0, 0, 0.3)), found(*many, (-80.0, 0, 0.3))
    assert difference(last, other) == 0


def test_a_file_that_computes_something_else_is_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="differs from the detector"):
        export_onnx(disturbed(detr("rtdetr_v2")), str(tmp_path / "m.onnx"), [PICTURE])
    assert not (tmp_path / "m.onnx").exists()


def test_d_fine_is_exported_as_well(tmp_path: Path) -> None:
    detector = disturbed(detr("d_fine"))
    file = tmp_path / "folder" / "m.onnx"
    # Brought to the detector's size for the comparison.
    assert export_onnx(detector, str(file), [PICTURE, torch.rand(3, 70, 90)]) < 1e-4
    session = onnxruntime.InferenceSession(file)
    assert session.get_inputs()[0].shape == [3, SIDE, SIDE]


def test_recording_on_a_picture_without_detections_does_no_harm(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.rand(3, 70, 90, generator=generator) for _ in range(4)]
    detector = disturbed(faster_rcnn, TINY)
    assert isinstance(detector, FasterRCNNDetector)
    best = [one.scores[0].item() for one in detector.predict(pictures)]
    clean, limit = min(range(4), key=best.__getitem__), sorted(best)[1] - 1e-4
    detector.model.roi_heads.score_thresh = limit
    detector.config = replace(detector.config, min_score=limit)
    ordered = [pictures.pop(clean), *pictures]
    assert [len(one.boxes) > 0 for one in detector.predict(ordered)] == [False, True, True, True]
    assert export_onnx(detector, str(tmp_path / "m.onnx"), ordered) < 1e-4
