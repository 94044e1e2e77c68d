from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from millsight.platform.weights import LoadedWeights, hash_tensors
from millsight.platform.weights.building import construct

SIZE, PATCH, BLOCKS, WIDTH, EMBED = 48, 8, 8, 64, 32


def tiny_weights(seed: int = 0, *, blocks: int = BLOCKS, **vision: object) -> LoadedWeights:
    """A real open_clip model in miniature."""
    config = {
        "model_cfg": {
            "embed_dim": EMBED,
            "vision_cfg": {
                "image_size": SIZE,
                "layers": blocks,
                "width": WIDTH,
                "head_width": 16,
                "patch_size": PATCH,
                **vision,
            },
            "text_cfg": {
                "context_length": 77,
                "vocab_size": 49408,
                "width": 32,
                "heads": 2,
                "layers": 2,
            },
        },
        "preprocess_cfg": {},
    }
    torch.manual_seed(seed)
    tensors = construct("open_clip", "tiny", config).state_dict()
    return LoadedWeights("test", "open_clip", "tiny", config, tensors, sha256=hash_tensors(tensors))


@pytest.fixture(scope="session")
def make_weights() -> Callable[..., LoadedWeights]:
    return tiny_weights


@pytest.fixture(scope="session")
def weights() -> LoadedWeights:
    return tiny_weights()


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (60 + 7 * i, 90 - 5 * i, 3), dtype=np.uint8) for i in range(6)]
