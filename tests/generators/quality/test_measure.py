import json

import numpy as np
import pytest
from defect_materials import line, steel

from millsight.generators.quality.features import FeatureNet
from millsight.generators.quality.measure import measure_quality
from millsight.platform.errors import UserError
from millsight.platform.weights import load_weights


@pytest.fixture(scope="module")
def network() -> FeatureNet:
    return FeatureNet(load_weights("random:timm:test_resnet?seed=0"))


def _scratched(seed: int) -> np.ndarray:
    picture = steel(seed, (48, 48))
    picture[line((48, 48), (5 + seed, 5), (40, 30 - seed), 2)] = 30
    return picture


def test_everything_is_measured_and_named(network):
    real = [_scratched(seed) for seed in range(6)]
    copies = [picture.copy() for picture in real]
    found = json.loads(json.dumps(measure_quality(network(real), network(copies)), allow_nan=False))
    assert (found["n_real"], found["n_generated"], found["n_learned"]) == (6, 6, 6)
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["fid"] is None
    assert found["memorisation"]["closer_than_all_real"] == 1
    bare = network([steel(seed, (48, 48), 220, 30) for seed in range(6)])
    other = measure_quality(network(real), bare)
    assert other["kid"] > found["kid"]
    assert other["memorisation"]["closer_than_all_real"] == 0


def test_few_pictures_have_no_precision_and_one_is_refused(network):
    real = network([_scratched(seed) for seed in range(2)])
    found = measure_quality(real, real, learned=real, objects=["a", "b"])
    assert found["precision"] is None
    assert found["ic_diversity"]["value"] is None
    with pytest.raises(UserError, match="at least 2"):
        measure_quality(real[:1], real)
