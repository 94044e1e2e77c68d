from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The executors' stages have one importable name here and in the scripts that tests start.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def ray_with_stages(ray_session: None) -> None:
    """Ray whose workers, which do not see this folder, get the stages' classes by value."""
    import executor_stages
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(executor_stages)
