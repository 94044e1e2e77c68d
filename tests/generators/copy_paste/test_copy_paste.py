"""Pasted defects: exact masks, untouched backgrounds, the plate's light, the same every time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from defect_materials import line, steel, write_defect, write_materials, write_plate

from millsight.generators.copy_paste.blending import feather, match_surroundings, poisson
from millsight.generators.copy_paste.engine import CopyPasteConfig, CopyPasteEngine
from millsight.generators.masks.labels import LabelConfig
from millsight.generators.masks.morphology import dilate, distance_to, group_boxes, reach
from millsight.generators.masks.placement import PlacementConfig
from millsight.generators.masks.sources import real_picture
from millsight.generators.samples import Generated, Materials, Request, SampleSpec
from millsight.platform.catalog.pictures import is_grey
from millsight.platform.errors import UserError

SPEC = SampleSpec("scratch", count=12)


def answers(materials: Materials, count: int = 12, **settings: object) -> list[Generated]:
    engine = CopyPasteEngine(materials, CopyPasteConfig(**settings))
    return engine.generate([Request(SPEC, index) for index in range(count)])


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return write_materials(tmp_path_factory.mktemp("materials"))


@pytest.mark.parametrize("blend", ["poisson", "feather"])
class TestPasted:
    def test_the_plate_stays_to_the_last_bit_outside_the_dilated_mask(
        self, materials: Materials, blend: str
    ) -> None:
        plates = {sample.id: real_picture(sample) for sample in materials.plates}
        for sample in answers(materials, blend=blend):
            plate = plates[sample.provenance["plate"]["id"]]
            assert np.array_equal(sample.plate, plate)
            near = dilate(sample.mask, sample.provenance["margin"])
            assert np.array_equal(sample.picture[~near], plate[~near])
            assert (sample.picture[sample.mask] != plate[sample.mask]).any()

    def test_the_mask_is_the_defect_and_the_boxes_hold_it(
        self, materials: Materials, blend: str
    ) -> None:
        for sample in answers(materials, blend=blend):
            assert sample.mask.dtype == bool
            assert np.array_equal(sample.requested, sample.mask)
            joined = reach(LabelConfig().joining, sample.mask.shape)
            assert sample.boxes == group_boxes(sample.mask, joined)
            beside = dilate(sample.mask, 6) & ~dilate(sample.mask, 2)
            contrast = sample.picture[beside].mean() - sample.picture[sample.mask].mean()
            assert contrast > 30  # The defects are 110 levels darker than their own steel.

    def test_the_surroundings_are_the_plates(self, materials: Materials, blend: str) -> None:
        for sample in answers(materials, blend=blend):
            near = dilate(sample.mask, sample.provenance["margin"]) & ~dilate(sample.mask, 0)
            away = sample.picture[near].mean() - sample.plate[near].mean()
            assert abs(away) < 25
            assert is_grey(sample.picture)

    def test_a_request_decides_its_answer(self, materials: Materials, blend: str) -> None:
        first = answers(materials, blend=blend)
        engine = CopyPasteEngine(materials, CopyPasteConfig(blend=blend))
        for index in (7, 2, 7):
            (again,) = engine.generate([Request(SPEC, index)])
            assert again.provenance == first[index].provenance
            assert np.array_equal(again.picture, first[index].picture)
            assert np.array_equal(again.mask, first[index].mask)
        (other,) = engine.generate([Request(SPEC, 7, attempt=1)])
        assert not np.array_equal(other.picture, first[7].picture)
        assert len({sample.provenance["source"]["id"] for sample in first}) == 3

    def test_colour_plates_stay_in_colour(self, tmp_path: Path, blend: str) -> None:
        colour = steel(0, (60, 80)).copy()
        colour[:, :, 2] //= 2
        defects = write_materials(tmp_path).defects
        plates = (write_plate(tmp_path, "colour", colour),)
        for sample in answers(Materials(plates, defects), 4, blend=blend):
            assert not is_grey(sample.picture)
            assert (sample.picture[:, :, 0] >= sample.picture[:, :, 2]).mean() > 0.97


def test_defects_larger_than_the_plate_are_shrunk(tmp_path: Path) -> None:
    mask = line((200, 300), (20, 50), (280, 60), 3)
    picture = steel(3, mask.shape, 120)
    picture[mask] = 20
    large = write_defect(tmp_path, "large", picture, mask, "scratch")
    plate = write_plate(tmp_path, "small", steel(4, (48, 48)))
    for sample in answers(Materials((plate,), (large,)), 6):
        assert sample.mask.any()
        ((x0, _, x1, _),) = sample.boxes
        assert x1 - x0 > 36


def test_boxes_serve_where_there_is_no_mask(materials: Materials) -> None:
    known = {"mask_uri": None, "boxes": ((10.0, 10.0, 30.0, 16.0),), "box_labels": ("scratch",)}
    boxed = replace(materials.defects[0], **known)
    still = PlacementConfig(scale=1)
    for sample in answers(Materials(materials.plates, (boxed,)), 4, placement=still):
        ((x0, y0, x1, y1),) = sample.boxes
        assert (x1 - x0, y1 - y0) == (20, 6)
        assert sample.mask.sum() == 120


def test_what_cannot_be_made_is_said(materials: Materials, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs good pictures to paste onto"):
        CopyPasteEngine(Materials((), materials.defects))
    with pytest.raises(UserError, match=r"--spec\.label scratch: the training split has no pict"):
        answers(Materials(materials.plates, ()))
    unplaced = tuple(replace(sample, mask_uri=None) for sample in materials.defects)
    with pytest.raises(UserError, match="none of its 3 training pictures says where"):
        answers(Materials(materials.plates, unplaced))
    engine = CopyPasteEngine(materials)
    with pytest.raises(UserError, match=r"use --spec\.masks real"):
        engine.generate([Request(replace(SPEC, masks="procedural"), 0)])
    with pytest.raises(UserError, match=r"--copy_paste\.margin 0\.5"):
        CopyPasteEngine(materials, CopyPasteConfig(margin=0.5))
    gone = replace(materials.plates[0], uri=str(tmp_path / "gone.png"))
    with pytest.raises(UserError, match=r"gone\.png: no such file\. Mend it"):
        answers(Materials((gone,), materials.defects), 1)


class TestBlending:
    def test_poisson_keeps_the_gradients_inside_and_the_plate_around(self) -> None:
        piece, plate = steel(1, (40, 50), 60), steel(2, (40, 50), 130)
        away = distance_to(line((40, 50), (0, 20), (20, 22), 3))
        region = away <= 3
        blended = poisson(piece, plate, away, 3)
        assert np.array_equal(blended[~region], plate[~region])
        added = blended[:, :, 0].astype(float) - piece[:, :, 0]
        # Harmonic, and free at the picture's side: each pixel is the mean of its neighbours.
        for y, x in np.argwhere(region):
            beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inner = [at for at in beside if min(at) >= 0 and at[0] < 40 and at[1] < 50]
            around = np.mean([added[at] for at in inner])
            assert abs(added[y, x] - around) <= 1.01

    def test_a_defect_over_all_of_the_plate_is_the_piece(self) -> None:
        piece, plate = steel(1, (20, 20), 60), steel(2, (20, 20), 130)
        nowhere = np.zeros((20, 20), np.float32)
        for blend in (poisson, feather):
            assert np.array_equal(blend(piece, plate, nowhere, 2), piece)

    def test_brightness_and_contrast_are_matched_beside_the_defect(self) -> None:
        piece, plate = steel(1, (60, 60), 60, deviation=4), steel(2, (60, 60), 150, deviation=7)
        away = distance_to(line((60, 60), (20, 20), (40, 30), 3))
        matched = match_surroundings(piece, plate, away, 2)
        ring = (away > 2) & (away <= 8)
        assert matched[ring].mean() == pytest.approx(plate[ring].mean(), abs=1)
        assert matched[ring].std() == pytest.approx(plate[ring].std(), rel=0.15)

    def test_a_grey_plate_makes_a_colour_piece_grey(self) -> None:
        piece = steel(1, (60, 60)).copy()
        piece[:, :, 0] //= 3
        away = distance_to(line((60, 60), (20, 20), (40, 30), 3))
        assert is_grey(match_surroundings(piece, steel(2, (60, 60)), away, 2))
