"""Masks on plates: rules of place, real ones moved, shapes drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from defect_materials import line, steel, write, write_defect, write_materials, write_plate
from hypothesis import given, settings
from hypothesis import strategies as st

from millsight.generators.masks.areas import allowed_area
from millsight.generators.masks.morphology import Mask
from millsight.generators.masks.placement import PlacementConfig, place
from millsight.generators.masks.placer import MaskPlacer
from millsight.generators.masks.shapes import course, draw_shape, shape_of
from millsight.generators.masks.sources import real_mask, real_picture
from millsight.generators.procedural.defects import DEFECTS
from millsight.platform.errors import UserError

SHAPES = {
    "inside": line((60, 70), (20, 20), (40, 30), 3),
    "left": line((60, 70), (0, 20), (12, 24), 2),
    "bottom": line((60, 70), (20, 59), (24, 40), 1),
    "across": line((60, 70), (0, 30), (69, 33), 2),
    "corner": line((60, 70), (60, 0), (69, 8), 4),
    "dot": line((60, 70), (33, 33), (33, 33), 1),
}


def sides(mask: Mask) -> set[str]:
    edges = {"left": mask[:, 0], "right": mask[:, -1], "top": mask[0], "bottom": mask[-1]}
    return {name for name, edge in edges.items() if edge.any()}


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(sorted(SHAPES)),
    size=st.sampled_from([(60, 70), (90, 50), (33, 41), (200, 300)]),
    seed=st.integers(0, 10_000),
)
def test_edge_defects_stay_at_an_edge_and_others_off_it(
    name: str, size: tuple[int, int], seed: int
) -> None:
    mask = SHAPES[name]
    placement = place(np.random.default_rng(seed), mask, size, PlacementConfig())
    moved = placement.move_mask(mask)
    assert moved.shape == size
    assert moved.any()
    swap = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
    mirrored = {"left": 0, "right": 0, "top": 1, "bottom": 1}
    expected = {
        swap[side] if placement.factor[mirrored[side]] < 0 else side for side in sides(mask)
    }
    assert sides(moved) == expected


@pytest.mark.parametrize("name", sorted(set(SHAPES) - {"across"}))
def test_without_scaling_the_pixels_are_the_same_and_the_picture_moves_along(name: str) -> None:
    mask = SHAPES[name]
    picture = np.random.default_rng(0).integers(0, 255, (*mask.shape, 3), dtype=np.uint8)
    seen = set()
    for seed in range(12):
        placement = place(np.random.default_rng(seed), mask, (80, 90), PlacementConfig(scale=1))
        moved = placement.move_mask(mask)
        assert moved.sum() == mask.sum()
        flips = tuple(slice(None, None, -1 if factor < 0 else 1) for factor in placement.factor)
        seen.add(placement.factor)
        upright = mask[flips[1], flips[0]]
        assert np.array_equal(moved[moved.any(1)][:, moved.any(0)], cut(upright))
        there = placement.move_picture(picture)[moved]
        assert np.array_equal(there, picture[flips[1], flips[0]][upright])
    assert len(seen) == 4


def cut(mask: Mask) -> Mask:
    return mask[mask.any(1)][:, mask.any(0)]


def test_scale_is_mild_unless_the_plate_is_too_small() -> None:
    mask = SHAPES["inside"]
    areas = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        placement = place(rng, mask, (200, 200), PlacementConfig(scale=1.2, flip=False))
        assert 1 / 1.2 <= placement.factor[0] == placement.factor[1] <= 1.2
        areas.append(placement.move_mask(mask).sum() / mask.sum())
    assert min(areas) < 0.85
    assert max(areas) > 1.15
    small = place(np.random.default_rng(0), mask, (12, 12), PlacementConfig())
    assert small.move_mask(mask).any()
    assert abs(small.factor[0]) < 12 / 20


def test_masks_lie_in_the_allowed_area_or_nowhere() -> None:
    mask, allowed = SHAPES["inside"], np.zeros((100, 100), bool)
    allowed[30:70, 30:70] = True
    for seed in range(10):
        rng = np.random.default_rng(seed)
        moved = place(rng, mask, (100, 100), PlacementConfig(), allowed).move_mask(mask)
        assert allowed[moved].mean() >= 0.9
    with pytest.raises(UserError, match="fits nowhere into the allowed area"):
        place(np.random.default_rng(0), mask, (100, 100), PlacementConfig(), ~np.ones_like(allowed))


def test_areas_are_found_by_plate_then_by_category(tmp_path: Path) -> None:
    picture = steel(0, (40, 50))
    plate = write_plate(tmp_path / "coil7", "a", picture)
    area = np.zeros((40, 50), np.uint8)
    area[:, 10:] = 255
    config = PlacementConfig(areas=str(tmp_path / "areas"))
    assert allowed_area(plate, picture, PlacementConfig()) is None
    with pytest.raises(UserError, match=r"areas has neither a\.png nor steel\.png"):
        allowed_area(plate, picture, config)
    for name, start in (("steel.png", 10), ("a.png", 20), ("coil7/a.png", 30)):
        area[:, :start] = 0
        write(tmp_path / "areas" / name, area)
        assert np.array_equal(allowed_area(plate, picture, config), area > 0)
    write(tmp_path / "areas" / "coil7" / "a.png", area[:9])
    with pytest.raises(UserError, match="mask is 50x9 pixels, its picture 50x40"):
        allowed_area(plate, picture, config)


def test_what_is_dark_at_the_side_is_not_the_part(tmp_path: Path) -> None:
    picture = steel(0, (40, 50))
    picture[:, :8] = 3
    picture[20:24, 20:24] = 3
    plate = write_plate(tmp_path, "a", picture)
    allowed = allowed_area(plate, picture, PlacementConfig(background=20))
    expected = np.ones((40, 50), bool)
    expected[:, :8] = False
    assert np.array_equal(allowed, expected)


class TestShapes:
    @pytest.mark.parametrize("defect", sorted(DEFECTS))
    def test_every_procedural_defect_draws_a_mask(self, defect: str) -> None:
        shape = shape_of(defect.replace("_", " ").title(), [])
        assert shape.defect == defect
        for seed in range(3):
            mask = draw_shape(np.random.default_rng(seed), shape, (64, 96))
            assert mask.shape == (64, 96)
            assert mask.any()
            if defect == "edge_break":
                assert sides(mask)

    def test_unknown_classes_are_drawn_by_their_real_masks(self) -> None:
        thin = line((64, 64), (5, 30), (60, 34), 1)
        large = np.zeros((64, 64), bool)
        large[10:40, 10:40] = True
        tiny = np.zeros((64, 64), bool)
        tiny[5:7, 5:7] = True
        many = np.zeros((64, 64), bool)
        many[::9, ::9] = True
        chosen = {"scratch": thin, "patch": large, "pit": tiny, "scale": many}
        for defect, mask in chosen.items():
            assert shape_of("Fehler 7", [mask] * 3).defect == defect
        assert shape_of("Fehler 7", []).defect == "inclusion"

    def test_drawn_masks_run_and_measure_as_the_real_ones(self) -> None:
        real = line((96, 96), (10, 40), (80, 44), 2)
        assert course(real) == pytest.approx(0.057, abs=0.02)
        shape = shape_of("Fehler 7", [real])
        drawn = [draw_shape(np.random.default_rng(seed), shape, (96, 96)) for seed in range(12)]
        ratios = np.array([mask.mean() for mask in drawn]) / real.mean()
        assert 0.5 < np.median(ratios) < 2


class TestSources:
    def test_boxes_of_the_class_count_whole_where_there_is_no_mask(self, tmp_path: Path) -> None:
        sample = write_plate(tmp_path, "a", steel(0, (20, 30)), "dent")
        boxes = ((2.0, 3.0, 6.5, 7.0), (10.0, 10.0, 20.0, 20.0))
        boxed = replace(sample, boxes=boxes, box_labels=("dent", "pit"))
        expected = np.zeros((20, 30), bool)
        expected[3:7, 2:7] = True
        assert np.array_equal(real_mask(boxed, "dent"), expected)
        assert real_mask(sample, "dent") is None
        assert real_picture(sample).shape == (20, 30, 3)

    def test_what_is_missing_is_said(self, tmp_path: Path) -> None:
        rng, plate = np.random.default_rng(0), write_plate(tmp_path, "p", steel(0, (40, 50)))
        with pytest.raises(UserError, match=r"--spec\.label dent: the training split has no pictu"):
            MaskPlacer((), "dent", PlacementConfig()).real(rng, plate, real_picture(plate))
        empty = write_defect(tmp_path, "e", steel(1, (40, 50)), np.zeros((40, 50), bool), "dent")
        with pytest.raises(UserError, match="none of its 1 training pictures says where the defe"):
            MaskPlacer((empty,), "dent", PlacementConfig()).real(rng, plate, real_picture(plate))
        with pytest.raises(UserError, match=r"--placement\.scale 0\.5"):
            MaskPlacer((), "dent", PlacementConfig(scale=0.5))


def test_a_request_decides_its_mask(tmp_path: Path) -> None:
    materials = write_materials(tmp_path)
    plate = materials.plates[0]
    picture = real_picture(plate)
    found = []
    for _ in range(2):
        placer = MaskPlacer(materials.defects, "scratch", PlacementConfig())
        placed = [placer.real(np.random.default_rng(seed), plate, picture) for seed in range(6)]
        drawn = [placer.drawn(np.random.default_rng(seed), plate, picture) for seed in range(3)]
        found.append([item.mask for item in placed] + drawn)
        assert {item.source for item in placed} <= set(materials.defects)
        assert placed[0].provenance["source"]["group"].startswith("coil-")
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))
    assert len({mask.tobytes() for mask in found[0]}) > 6
