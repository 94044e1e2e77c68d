from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from defect_materials import line, steel, write_materials

from millsight.platform.anomaly_scorers import load_scorer
from millsight.platform.errors import UserError
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.scorer import make_scorer

CONFIG = KeADConfig(encoder="random:timm:test_resnet?seed=0", k=2, layers=2)


def test_maps_rise_where_a_defect_is(tmp_path):
    materials = write_materials(tmp_path)
    scorer = make_scorer((*materials.plates, *materials.defects), config=CONFIG)
    plate = steel(0, (80, 96))
    marked = plate.copy()
    mask = line((80, 96), (60, 20), (85, 25), 9)
    marked[mask] = 10
    plate.flags.writeable = False
    before, after = scorer([plate, marked])
    assert before.shape == after.shape
    assert after.dtype == np.float32
    rise = after - before
    row, column = np.unravel_index(rise.argmax(), rise.shape)
    assert rise.max() > 0
    assert column >= rise.shape[1] // 2 > row


def test_without_good_training_pictures_it_is_refused(tmp_path):
    materials = write_materials(tmp_path)
    held_out = [replace(plate, split="test") for plate in materials.plates]
    with pytest.raises(UserError, match=r"known to be good|label good"):
        make_scorer((*held_out, *materials.defects), config=CONFIG)


def test_an_unknown_scorer_is_refused_by_name():
    with pytest.raises(UserError, match="'nosuch' is not installed"):
        load_scorer("nosuch", [])
