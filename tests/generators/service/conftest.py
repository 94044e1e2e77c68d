from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from drawn_defects import CONFIG, write_catalog
from starlette.testclient import TestClient
from tiny_diffusion import write_tiny_adapter, write_tiny_sd

sys.path.insert(0, str(Path(__file__).parent))

from generation_requests import Headers

from millsight.generators.diffusion.base import open_base
from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.service.app import create_generation_app
from millsight.generators.service.config import (
    AdapterConfig,
    BaseConfig,
    CatalogConfig,
    ServeGenerationConfig,
)
from millsight.generators.service.state import GenerationState
from millsight.platform.services.database import Database
from millsight.platform.services.tokens import TokenStore


@dataclass
class Served:
    """A running service with tokens: steel with scratches and pits, a random base, two adapters."""

    client: TestClient
    state: GenerationState
    config: ServeGenerationConfig
    owner: Headers
    other: Headers
    reader: Headers


@pytest.fixture(scope="session")
def real_steel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of drawn defects."""
    folder = tmp_path_factory.mktemp("real_steel")
    path = folder / "steel.parquet"
    write_catalog(folder).write(path)
    return path


@pytest.fixture(scope="session")
def generation_models(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[BaseConfig], list[AdapterConfig]]:
    """A random base model, an adapter, and one with a pickle beside its weights."""
    folder = tmp_path_factory.mktemp("models")
    base = open_base(str(write_tiny_sd(folder / "tiny")))
    settings = DiffusionConfig(base=base.source, batch_size=2, crops=1, least_psnr=0)
    adapters = []
    for seed, name in enumerate(("scratches", "poisoned")):
        made = write_tiny_adapter(folder / name, base, seed=seed)
        adapters.append(AdapterConfig(name=name, base="tiny", folder=str(made)))
    (folder / "poisoned" / "weights.bin").write_bytes(b"\x80\x04.")
    return [BaseConfig(name="tiny", diffusion=settings)], adapters


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    real_steel: Path,
    generation_models: tuple[list[BaseConfig], list[AdapterConfig]],
) -> Iterator[Served]:
    """One service for all tests that leave it as it is but for further sets."""
    bases, adapters = generation_models
    config = ServeGenerationConfig(
        folder=tmp_path_factory.mktemp("generation"),
        catalogs=[CatalogConfig(name="steel", data=str(real_steel))],
        bases=bases,
        adapters=adapters,
        filters=CONFIG,
        device="cpu",
        threads=1,
        shard_size=2,
        max_count=40,
        requests_per_second=1e6,
        request_burst=10**6,
    )
    store = TokenStore(Database(config.folder / "service.db"))
    heads = [
        {"Authorization": f"Bearer {store.create(name, scopes)[1]}"}
        for name, scopes in (
            ("line 3", ["read", "submit"]),
            ("line 4", ["read", "submit"]),
            ("looker", ["read"]),
        )
    ]
    with TestClient(create_generation_app(config), raise_server_exceptions=False) as client:
        yield Served(client, client.app.state.generation, config, *heads)  # type: ignore[attr-defined]
