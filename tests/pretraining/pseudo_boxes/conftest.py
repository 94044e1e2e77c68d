from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from blob_maps import MakeMaps, a_map, with_blobs

from millsight.evaluation import anomaly_maps
from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, drafting
from millsight.platform.fingerprints import Recipe


@pytest.fixture
def make_maps(tmp_path: Path) -> MakeMaps:
    def make(items: Sequence[AnomalyMap]) -> Artifact:
        config = {"names": [item.sample_id for item in items]}
        recipe = Recipe(anomaly_maps.KIND, anomaly_maps.SCHEMA_VERSION, config)
        with drafting(tmp_path / "maps", recipe) as draft:
            storage.write_table(draft.file(anomaly_maps.FILE), anomaly_maps.to_table(items))
            return draft.commit()

    return make


@pytest.fixture
def plates() -> list[AnomalyMap]:
    """Two defective pictures, one of them with two blobs, and two good ones with a weak blob."""
    hot = with_blobs((40, 60), [(5, 6, 10, 8, 0.75), (40, 20, 12, 9, 0.875)])
    warm = with_blobs((40, 60), [(20, 10, 5, 5, 0.75)])
    weak = with_blobs((40, 60), [(30, 30, 6, 6, 0.625)])
    return [
        a_map("hot", hot, 0.9),
        a_map("warm", warm, 0.8),
        a_map("good-1", weak, 0.2),
        a_map("good-2", weak, 0.25),
    ]
