"""Rendered steel as answers to requests."""

from __future__ import annotations

import numpy as np
import pytest

from millsight.generators.masks.labels import label_boxes
from millsight.generators.procedural.engine import ProceduralConfig, ProceduralEngine
from millsight.generators.samples import Materials, Request, SampleSpec
from millsight.platform.errors import UserError


def test_a_request_decides_a_rendering_with_its_plate() -> None:
    config = ProceduralConfig(size=64, surface="ground")
    engine = ProceduralEngine(Materials(), config)
    spec = SampleSpec("scratch", mode="procedural")
    first = engine.generate([Request(spec, index) for index in range(4)])
    (again,) = ProceduralEngine(Materials(), config).generate([Request(spec, 2)])
    assert np.array_equal(first[2].picture, again.picture)
    assert len({sample.picture.tobytes() for sample in first}) == 4
    for sample in first:
        assert sample.picture.shape == sample.plate.shape == (64, 64, 3)
        assert sample.mask.any()
        assert sample.boxes == label_boxes(sample.mask, config.labels)
        assert sample.provenance["surface"] == "ground"
        assert sample.accepted
        difference = np.abs(sample.picture.astype(int) - sample.plate).max(axis=2)
        assert difference[sample.mask].mean() > difference[~sample.mask].mean()


def test_unknown_classes_and_sizes_are_refused_by_name() -> None:
    engine = ProceduralEngine(Materials())
    with pytest.raises(UserError, match=r"--spec\.label dent: .* renders scratch, crack, pit"):
        engine.generate([Request(SampleSpec("dent", mode="procedural"), 0)])
    with pytest.raises(UserError, match=r"--procedural\.size 20: 64 to 512"):
        ProceduralEngine(Materials(), ProceduralConfig(size=20))
    with pytest.raises(UserError, match=r"--procedural\.names pit=dent: .* one of scratch"):
        ProceduralEngine(Materials(), ProceduralConfig(names=["pit=dent"]))


def test_a_rendered_defect_may_stand_for_a_class_of_another_name() -> None:
    request = Request(SampleSpec("scratches", mode="procedural"), 0)
    config = ProceduralConfig(size=64, names=["scratches=scratch"])
    (stands_in,) = ProceduralEngine(Materials(), config).generate([request])
    named = Request(SampleSpec("scratch", mode="procedural"), 0)
    (own,) = ProceduralEngine(Materials(), ProceduralConfig(size=64)).generate([named])
    assert np.array_equal(stands_in.picture, own.picture)
