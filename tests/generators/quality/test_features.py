import numpy as np
import pytest

from millsight.generators.quality.features import FeatureNet, nearest_distances
from millsight.platform.errors import UserError
from millsight.platform.weights import load_weights


def test_features_know_equal_pictures_whatever_the_batch():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (40, 60, 3), np.uint8) for _ in range(3)]
    network = FeatureNet(load_weights("embedded:efficientnet-lite0"))
    together = network([*pictures, pictures[0]])
    assert together.shape == (4, 1280)
    np.testing.assert_allclose(together[0], together[3])
    np.testing.assert_allclose(network(pictures[1:2])[0], together[1], rtol=1e-3, atol=1e-4)
    near = nearest_distances(together[3:], together[:3])
    assert near.shape == (1,)
    assert near[0] < 1e-5
    assert nearest_distances(together[:1], together[1:3])[0] > 1e-3


def test_a_network_of_another_library_is_refused():
    with pytest.raises(UserError, match="timm"):
        FeatureNet(load_weights("embedded:micro-clip"))
