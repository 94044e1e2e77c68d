"""What a picture takes is what the engine drew for it."""

from __future__ import annotations

import numpy as np
import pytest
from defect_materials import line, steel, write_defect
from tiny_diffusion import write_tiny_sd

from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.diffusion.engine import DiffusionEngine
from millsight.generators.production.commands import GenerateSampleConfig
from millsight.generators.samples import Materials, Request, SampleSpec
from millsight.generators.service.work import most_of_a_try, of_a_picture

SIZE = (256, 256)


def test_every_square_of_a_picture_counts_with_the_steps_done(tmp_path):
    mask = line(SIZE, (20, 20), (40, 20), 3) | line(SIZE, (200, 220), (230, 220), 3)
    picture = np.where(mask[..., None], np.uint8(20), steel(0, SIZE))
    defect = write_defect(tmp_path, "two", picture, mask, "scratch")
    spec = SampleSpec("scratch", mode="variation", steps=5, strength=0.5)
    settings = DiffusionConfig(base=str(write_tiny_sd(tmp_path / "tiny")), least_psnr=0)
    engine = DiffusionEngine.load(settings, Materials(defects=(defect,)))
    rows = []
    unet = engine._sampler.pipeline.unet
    unet.register_forward_hook(lambda _, given, found: rows.append(len(given[0])))
    (made,) = engine.generate([Request(spec, 0)])
    assert len(made.provenance["squares"]) == 2
    assert len(rows) == 2, "steps done"
    assert of_a_picture(made) == pytest.approx(2 * len(rows) * 64**2 / 1e6)
    config = GenerateSampleConfig(data="", spec=spec, diffusion=settings)
    assert most_of_a_try(config, Materials(), 64) == pytest.approx(4 * len(rows) * 64**2 / 1e6)
