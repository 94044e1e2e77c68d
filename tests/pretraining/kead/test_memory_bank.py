from __future__ import annotations

import pytest
import torch

from millsight.pretraining.kead import memory_bank
from millsight.pretraining.kead.features import PatchFeatures
from millsight.pretraining.kead.memory_bank import MemoryBank, map_grid, mean_map


def features(batch: int, seed: int) -> PatchFeatures:
    torch.manual_seed(seed)
    return PatchFeatures(
        (3 * torch.randn(batch, 12, 8), torch.randn(batch, 12, 8)), ((3, 4), (3, 4))
    )


@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_distance_is_half_of_one_minus_the_best_cosine(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_bank, "CHUNK_TOKENS", chunk)
    references, queries = [features(2, 1), features(1, 2)], features(3, 3)
    bank = MemoryBank.build(references)
    assert [layer.shape for layer in bank.layers] == [(36, 8), (36, 8)]
    maps = bank.anomaly_map(queries)
    assert maps.shape == (3, 3, 4)
    for b in range(3):
        for p in range(12):
            values = []
            for layer in range(2):
                query = queries.layers[layer][b, p]
                known = [row for item in references for row in item.layers[layer].flatten(0, 1)]
                cosines = [torch.cosine_similarity(query, row, dim=0).item() for row in known]
                values.append(min(0.5 * (1 - cosine) for cosine in cosines))
            assert maps[b, p // 4, p % 4].item() == pytest.approx(sum(values) / 2, abs=1e-6)


def test_a_remembered_picture_has_no_distance() -> None:
    known = features(2, 1)
    assert MemoryBank.build([known]).anomaly_map(known).abs().max() < 1e-6


def test_a_larger_bank_never_raises_a_distance() -> None:
    queries = features(2, 9)
    small = MemoryBank.build([features(1, 1)]).anomaly_map(queries)
    large = MemoryBank.build([features(1, 1), features(1, 2)]).anomaly_map(queries)
    assert (large <= small + 1e-6).all()
    assert (large < small - 1e-3).any()


def test_layers_on_different_grids_meet_on_one() -> None:
    assert map_grid([(64, 64), (32, 32), (16, 16)]) == (32, 32)
    assert map_grid([(64, 64), (40, 40)]) == (40, 40)
    fine, coarse = torch.full((1, 16), 2.0), torch.full((1, 4), 4.0)
    assert torch.equal(mean_map([fine, coarse], [(4, 4), (2, 2)]), torch.full((1, 4, 4), 3.0))


def test_empty_features_are_half_way_not_undefined() -> None:
    zero = PatchFeatures((torch.zeros(1, 12, 8),), ((3, 4),))
    bank = MemoryBank.build([PatchFeatures((torch.randn(1, 12, 8),), ((3, 4),))])
    assert torch.equal(bank.anomaly_map(zero), torch.full((1, 3, 4), 0.5))
