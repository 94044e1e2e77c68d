"""What a replica keeps in memory."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from dataclasses import replace

import pytest

from millsight.generators.production.commands import GenerateSampleConfig
from millsight.generators.production.produce import find_materials, stage_of
from millsight.generators.samples import SampleSpec
from millsight.generators.service import workshop
from millsight.platform.catalog.catalog import load_data
from millsight.platform.stages import Stage


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    monkeypatch.setattr(workshop, "_samplers", {})
    monkeypatch.setattr(workshop, "_stages", OrderedDict())


@pytest.fixture
def stage(real_steel, generation_models):
    """Make the stage of a set; another batch size takes another pipeline."""
    catalog = load_data(str(real_steel))
    (base,), _ = generation_models

    def make(mode: str, batch_size: int = 2) -> Stage:
        config = GenerateSampleConfig(
            data="",
            spec=SampleSpec("scratch", mode=mode),
            diffusion=replace(base.diffusion, batch_size=batch_size),
        )
        return stage_of(config, find_materials(config, catalog), workshop.build_shared)

    return make


def test_another_base_model_takes_the_place_of_the_one_before(stage):
    workshop.ready_stage("first", stage("text"), "cpu")
    workshop.ready_stage("second", stage("variation"), "cpu")
    workshop.ready_stage("pasted", stage("copy_paste"), "cpu")
    assert workshop.known() == {"first", "second", "pasted"}
    pipelines = [weakref.ref(one.pipeline) for one in workshop._samplers.values()]
    assert len(pipelines) == 1
    workshop.ready_stage("other", stage("text", batch_size=1), "cpu")
    assert workshop.known() == {"other"}, "the others have to be sent again"
    assert pipelines[0]() is None


def test_of_many_sets_the_one_not_used_for_the_longest_time_goes(stage):
    for number in range(workshop.KEPT_STAGES):
        workshop.ready_stage(f"{number}", stage("copy_paste"), "cpu")
    workshop.ready_stage("0", None, "cpu")
    workshop.ready_stage("new", stage("copy_paste"), "cpu")
    assert "1" not in workshop.known()
    assert {"0", "new"} < workshop.known()
