from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from wandb_server import WandbServer

# The executors' stages have one importable name here and in the scripts that tests start.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def ray_with_stages(ray_session: None) -> None:
    """Ray whose workers, which do not see this folder, get the stages' classes by value."""
    import executor_stages
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(executor_stages)


WANDB_VARIABLES = ("API_KEY", "BASE_URL", "MODE", "DATA_DIR", "SILENT", "ERROR_REPORTING", "DIR")


@pytest.fixture
def no_wandb_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """W&B as on a machine without an account; its service ends with the test."""
    for name in WANDB_VARIABLES:
        # Set and deleted, so that what the tracker sets is taken back as well.
        monkeypatch.setenv(f"WANDB_{name}", "")
        monkeypatch.delenv(f"WANDB_{name}")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    yield
    import wandb

    wandb.teardown()


@pytest.fixture
def wandb_server(no_wandb_account: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A stand-in for W&B, with an account at it."""
    server = WandbServer()
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    yield server
    server.vanish()
