"""Pictures and boxes stay together, whatever augmentation does to them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from bright_boxes import boxed

from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.pictures import (
    BoxedPicture,
    BoxedPictures,
    DetectionData,
    TrainingPictures,
)

SIZES = ((64, 80), (90, 70), (48, 120))
# Pixels: a zoomed rectangle ends between two of them, and an enlarged corner is smoothed.
TOLERANCE = 2


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[BoxedPicture]:
    folder = tmp_path_factory.mktemp("drawn")
    drawn = [boxed(folder / f"{i}.png", i, i % 3, SIZES[i // 3]) for i in range(9)]
    return [*drawn, boxed(folder / "good.png", 99, None)]


def training(pictures: list[BoxedPicture], **settings: float) -> TrainingPictures:
    return TrainingPictures(pictures, DetectorTrainingConfig(**settings))


def coloured(picture: torch.Tensor, label: int) -> np.ndarray:
    """Where a picture has the colour of a label: brightness and contrast leave grey grey."""
    others = [channel for channel in range(3) if channel != label]
    rest = picture[others].max(dim=0).values
    return (picture[label] - rest > 0.5 * (picture[label] - rest).max().clamp(min=0.4)).numpy()


def inside(shape: tuple[int, int], boxes: torch.Tensor, grown: float) -> np.ndarray:
    """Paint boxes, grown by some pixels."""
    painted = np.zeros(shape, bool)
    for x0, y0, x1, y1 in boxes.tolist():
        rows = slice(max(0, round(y0 - grown)), max(0, round(y1 + grown)))
        painted[rows, max(0, round(x0 - grown)) : max(0, round(x1 + grown))] = True
    return painted


def assert_bounded(picture: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor) -> None:
    """Every box is full of its label's colour; that colour is nowhere else."""
    for label in range(3):
        own, seen = boxes[labels == label], coloured(picture, label)
        assert seen[inside(seen.shape, own, -TOLERANCE)].all()
        outside = (seen & ~inside(seen.shape, own, TOLERANCE)).astype(np.uint8)
        # Slivers that augmentation left at an edge lose their box.
        kernel = np.ones((TOLERANCE + 2, TOLERANCE + 2), np.uint8)
        assert not cv2.erode(outside, kernel, borderValue=0).any()


@pytest.mark.parametrize(
    ("scale", "mosaic"), [(0.0, 0.0), (0.3, 0.0), (0.6, 0.0), (0.0, 1.0), (0.4, 1.0)]
)
def test_boxes_bound_what_they_bounded(
    pictures: list[BoxedPicture], scale: float, mosaic: float
) -> None:
    kept = 0
    for seed in range(4):
        drawn = training(pictures, scale=scale, mosaic=mosaic, seed=seed)
        for index in range(len(pictures)):
            picture, boxes, labels = drawn[(seed, index)]
            assert picture.shape[1:] == cv2.imread(pictures[index].uri).shape[:2]
            assert picture.dtype == torch.float32
            assert picture.min() >= 0
            assert picture.max() <= 1
            assert boxes.shape == (len(labels), 4)
            assert boxes.dtype == torch.float32
            assert_bounded(picture, boxes, labels)
            kept += len(labels)
    assert kept > 4 * len(pictures) * 0.6


def test_flips_alone_are_exact_and_all_four_come(pictures: list[BoxedPicture]) -> None:
    drawn = training(pictures, scale=0.0)
    x0, y0, x1, y1 = pictures[0].boxes[0].tolist()
    height, width = SIZES[0]
    every = {
        (x0, y0, x1, y1),
        (width - x1, y0, width - x0, y1),
        (x0, height - y1, x1, height - y0),
        (width - x1, height - y1, width - x0, height - y0),
    }
    found = {tuple(drawn[(epoch, 0)][1][0].tolist()) for epoch in range(24)}
    assert found == every


def test_a_mosaic_shows_several_pictures_with_their_labels(pictures: list[BoxedPicture]) -> None:
    drawn = training(pictures, scale=0.0, mosaic=1.0)
    labels = [drawn[(epoch, 0)][2] for epoch in range(12)]
    assert max(map(len, labels)) >= 3
    assert {int(label) for found in labels for label in found} == {0, 1, 2}


def test_the_key_alone_decides_and_leaves_no_trace(pictures: list[BoxedPicture]) -> None:
    settings = {"scale": 0.3, "mosaic": 0.5}
    one, other = training(pictures, **settings), training(pictures, **settings)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = [one[(epoch, index)] for epoch in range(2) for index in range(10)]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again = [other[(epoch, index)] for epoch in (1, 0) for index in range(10)]
    for ours, theirs in zip(first, again[10:] + again[:10], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(first[0][0], first[10][0])
    reseeded = training(pictures, seed=1, **settings)
    assert not torch.equal(first[0][0], reseeded[(0, 0)][0])


def test_a_picture_without_boxes_stays_one(pictures: list[BoxedPicture]) -> None:
    picture, boxes, labels = training(pictures)[(0, 9)]
    assert picture.shape == (3, 64, 80)
    assert boxes.shape == (0, 4)
    assert labels.shape == (0,)
    plain, _, _ = BoxedPictures(pictures)[9]
    wanted = cv2.imread(pictures[9].uri)[..., ::-1] / 255
    assert np.allclose(plain.permute(1, 2, 0).numpy(), wanted, atol=1e-6)


def test_batches_are_whole_and_validation_keeps_its_order(pictures: list[BoxedPicture]) -> None:
    data = DetectionData(pictures, pictures[:3], DetectorTrainingConfig(batch_size=4), 0)
    batches = list(data.train_dataloader())
    assert [len(batch.pictures) for batch in batches] == [4, 4]
    (batch,) = data.val_dataloader()
    assert [boxes.tolist() for boxes in batch.boxes] == [p.boxes.tolist() for p in pictures[:3]]
    same = next(iter(DetectionData(pictures, (), data._config, 0).train_dataloader()))
    assert all(torch.equal(a, b) for a, b in zip(batches[0].pictures, same.pictures, strict=True))
