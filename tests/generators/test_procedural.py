import json

import cv2
import numpy as np
import pytest

from millsight.evaluation.steeldefectx.attributes import mask_attributes
from millsight.generators.procedural import (
    DEFECTS,
    SURFACES,
    render,
    render_pair,
    write_dataset,
)
from millsight.generators.procedural.noise import spectral_noise
from millsight.generators.procedural.rendering import component_boxes, local_contrast
from millsight.platform.errors import UserError

FIELDS = [
    "Defect type", "Shape", "Direction", "Spatial Distribution", "Number of Defects",
    "Position", "Scale", "Polarity", "Saliency",
]  # fmt: skip


def test_same_seed_same_bytes():
    for seed in range(6):
        first, second = render(seed, size=(80, 96)), render(seed, size=(80, 96))
        assert first.picture.tobytes() == second.picture.tobytes()
        assert first.mask.tobytes() == second.mask.tobytes()
        assert first.captions == second.captions
        assert first.attributes == second.attributes


def test_no_two_samples_alike():
    pictures = [render(seed, size=(64, 64), surface="rolled", defect="good") for seed in range(40)]
    thumbs = [cv2.resize(p.picture, (16, 16)).astype(float).ravel() for p in pictures]
    distances = [np.abs(a - b).mean() for i, a in enumerate(thumbs) for b in thumbs[i + 1 :]]
    assert min(distances) > 1.0
    assert len({p.captions for p in pictures}) > 20


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("defect", [*DEFECTS, "good"])
@pytest.mark.parametrize("size", [(64, 64), (512, 512), (96, 160)])
def test_every_defect_on_every_surface(surface, defect, size):
    rendering = render(11, size=size, surface=surface, defect=defect)
    assert rendering.picture.dtype == np.uint8
    assert rendering.picture.shape == rendering.mask.shape == size
    assert (rendering.surface, rendering.label) == (surface, defect)
    assert rendering.mask.any() == (defect != "good")
    assert rendering.picture.std() > 0.5
    assert list(rendering.attributes) == ([] if defect == "good" else FIELDS)


@pytest.mark.parametrize("defect", DEFECTS)
def test_boxes_bound_the_components(defect):
    rendering = render(5, size=(128, 96), defect=defect)
    count, labels = cv2.connectedComponents(rendering.mask.astype(np.uint8), connectivity=8)
    assert rendering.boxes.dtype == np.float32
    assert rendering.boxes.shape == (count - 1, 4)
    for label, box in enumerate(rendering.boxes, start=1):
        rows, columns = np.nonzero(labels == label)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box.tolist() == expected


def test_boxes_leave_the_far_corner_out():
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert component_boxes(mask).tolist() == [[3, 2, 9, 5]]
    assert component_boxes(np.zeros((10, 12), bool)).shape == (0, 4)


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_damage_lies_inside_the_mask(defect):
    """Averaged over seeds, because single faint defects drown in the codec's own changes."""
    inside, outside = [], []
    for seed in range(12):
        rendering, clean = render_pair(seed, size=(128, 128), surface="rolled", defect=defect)
        change = np.abs(rendering.picture.astype(float) - clean)
        near = cv2.dilate(rendering.mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        inside.append(change[rendering.mask].mean())
        if (~near).any():
            outside.append(change[~near].mean())
    assert np.mean(inside) > 8
    assert np.mean(outside) < 0.06 * np.mean(inside)


def test_good_pictures_equal_their_clean_twin():
    rendering, clean = render_pair(3, size=(96, 96), surface="cast", defect="good")
    assert np.array_equal(rendering.picture, clean)


def test_fields_agree_with_the_mask():
    for seed in range(20):
        rendering = render(seed, size=(96, 96), defect=list(DEFECTS)[seed % len(DEFECTS)])
        measured = mask_attributes(rendering.picture, rendering.mask)
        assert rendering.attributes["Scale"] == measured.scale
        assert rendering.attributes["Number of Defects"] == measured.number
        assert measured.number != "one" or len(rendering.boxes) == 1
        assert rendering.attributes["Polarity"] in rendering.captions[-1]


def test_contrast_is_taken_beside_the_defect():
    """Bright half, dark half: a line darker than its own half stays dark."""
    picture = np.full((96, 96), 40, np.uint8)
    picture[:, 48:] = 200
    mask = np.zeros((96, 96), bool)
    mask[20:70, 70:72] = True
    picture[mask] = 170
    steel = np.ones((96, 96), bool)
    assert mask_attributes(picture, mask).polarity == "bright"
    assert local_contrast(picture, mask, steel) == pytest.approx(-30)
    assert local_contrast(picture, mask, mask) == 0.0


def test_saliency_varies_for_every_defect():
    for defect in DEFECTS:
        seen = {
            render(seed, size=(64, 64), defect=defect).attributes["Saliency"] for seed in range(40)
        }
        assert len(seen) >= 2, defect


def test_texture_keeps_its_strength_per_frequency():
    """The part below 32 cycles per view is as strong at 64 as at 512 pixels."""
    strengths = []
    for side in (64, 256, 512):
        rng = np.random.default_rng(0)
        fields = [spectral_noise(rng, (side, side), low=4, high=128, slope=1.0) for _ in range(8)]
        small = [cv2.resize(f, (64, 64), interpolation=cv2.INTER_AREA) for f in fields]
        strengths.append(np.std(small))
    assert max(strengths) < 1.3 * min(strengths)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"size": (32, 64)}, "size"),
        ({"surface": "wood"}, "rolled"),
        ({"defect": "scrach"}, "scratch"),
    ],
)
def test_wrong_arguments_name_the_way_out(arguments, word):
    with pytest.raises(UserError, match=word):
        render(0, **arguments)


def test_dataset_has_the_mvtec_layout(tmp_path):
    done = []
    rows = write_dataset(
        tmp_path, count=40, size=(64, 64), seed=4, good_share=0.4, progress=done.append
    )
    lines = (tmp_path / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["file"] for line in lines] == [row["file"] for row in rows]
    assert done == list(range(1, 41))
    for row in rows:
        category, split, label, name = row["file"].split("/")
        picture = cv2.imread(str(tmp_path / row["file"]), cv2.IMREAD_GRAYSCALE)
        again = render(row["seed"], size=(64, 64), surface=row["surface"], defect=label)
        assert np.array_equal(picture, again.picture)
        assert category == f"{row['surface']}_steel"
        stem = name.removesuffix(".png")
        mask_path = tmp_path / category / "ground_truth" / label / f"{stem}_mask.png"
        assert mask_path.exists() == (label != "good")
        if label != "good":
            assert split == "test"
            mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
            assert np.array_equal(mask == 255, again.mask)
            assert set(np.unique(mask)) <= {0, 255}
    assert {row["surface"] for row in rows} == set(SURFACES)
    assert {row["label"] for row in rows} == {"good", *DEFECTS}


def test_dataset_begins_the_same_whatever_its_length(tmp_path):
    short = write_dataset(tmp_path / "short", count=3, size=(64, 64), seed=1)
    long = write_dataset(tmp_path / "long", count=6, size=(64, 64), seed=1)
    assert long[:3] == short


def test_dataset_refuses_impossible_shares(tmp_path):
    with pytest.raises(UserError, match="good_share"):
        write_dataset(tmp_path, count=3, good_share=1.5)
    with pytest.raises(UserError, match="count"):
        write_dataset(tmp_path, count=0)
