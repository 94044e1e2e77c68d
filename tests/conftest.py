from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# What several folders of tests share has one importable name.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A small Ray of this test run's own; never `ray stop`, which would end other people's too."""
    import ray

    ray.init(
        address="local",
        num_cpus=4,
        object_store_memory=150e6,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real research sets beside the checkout."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not at {folder}")
    return folder
