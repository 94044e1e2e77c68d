"""AUPRO against a brute-force reading of its definition, and anomalib where that is exact."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from millsight.evaluation.metrics.aupro import aupro, label_regions
from millsight.evaluation.metrics.pixels import picture_pixels, pixel_curve


def our_aupro(maps, masks, fpr_limit=0.3):
    pixels = [picture_pixels(m, g) for m, g in zip(maps, masks, strict=True)]
    return float(aupro(pixel_curve(pixels), fpr_limit))


def brute_force(maps, masks, fpr_limit=0.3):
    """Every threshold in turn, straight lines between them, cut at the limit."""
    scores = np.concatenate([m.ravel() for m in maps])
    background = np.concatenate([~g.ravel() for g in masks])
    regions = []
    for anomaly_map, mask in zip(maps, masks, strict=True):
        labelled, n = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [anomaly_map[labelled == i] for i in range(1, n + 1)]
    fpr, pro = [0.0], [0.0]
    for threshold in np.unique(scores)[::-1]:
        fpr.append(float((scores[background] >= threshold).mean()))
        pro.append(float(np.mean([(r >= threshold).mean() for r in regions])))
    fpr, pro = np.array(fpr), np.array(pro)
    inside = fpr <= fpr_limit
    x = np.append(fpr[inside], fpr_limit)
    y = np.append(pro[inside], pro[inside][-1])
    if not inside.all():
        j = int(inside.sum())
        y[-1] += (pro[j] - pro[j - 1]) * (fpr_limit - fpr[j - 1]) / (fpr[j] - fpr[j - 1])
    return np.trapezoid(y, x) / fpr_limit


def blobs(rng, shape, n):
    mask = np.zeros(shape, dtype=bool)
    for _ in range(n):
        y, x = rng.integers(0, shape[0] - 4), rng.integers(0, shape[1] - 6)
        mask[y : y + rng.integers(1, 5), x : x + rng.integers(1, 7)] = True
    return mask


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_definition_on_pictures_of_different_size(seed, decimals):
    rng = np.random.default_rng(seed)
    shapes = [(20, 31), (17, 24), (9, 40)]
    masks = [blobs(rng, shape, n) for shape, n in zip(shapes, (3, 0, 5), strict=True)]
    maps = [np.round(rng.normal(size=m.shape) + m, decimals).astype(np.float32) for m in masks]
    for limit in (0.05, 0.3, 1.0):
        assert our_aupro(maps, masks, limit) == pytest.approx(
            brute_force(maps, masks, limit), abs=1e-9
        )


def anomalib_aupro(maps, masks, fpr_limit=0.3):
    module = pytest.importorskip("anomalib.metrics.aupro")
    torch = pytest.importorskip("torch")
    metric = module._AUPRO(fpr_limit=fpr_limit)
    metric.update(torch.from_numpy(np.stack(maps)), torch.from_numpy(np.stack(masks)).int())
    return float(metric.compute())


@pytest.mark.parametrize("seed", range(4))
def test_anomalib_agrees_on_one_region(seed):
    """Anomalib is exact where a threshold falls on the limit: 1,000 background pixels, no ties."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((26, 40), dtype=bool)
    mask[5:9, 7:17] = True
    scores = rng.permutation(mask.size).reshape(mask.shape) / mask.size
    maps, masks = [(scores * 0.7 + 0.3 * mask * scores).astype(np.float32)], [mask]
    assert our_aupro(maps, masks) == pytest.approx(anomalib_aupro(maps, masks), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_anomalib_agrees_on_many_regions_with_ties(seed):
    """Exact where every region meets the same thresholds: each level occurs in the background."""
    rng = np.random.default_rng(seed)
    masks, maps = [], []
    for _ in range(3):
        mask = np.zeros((24, 50), dtype=bool)
        mask[2:6, 3:13] = mask[10:14, 20:30] = mask[18:22, 35:45] = mask[2:6, 30:50] = True
        levels = rng.integers(0, 10, mask.shape) / 10
        levels[~mask] = rng.permutation(np.arange(1000) % 10) / 10
        masks.append(mask)
        maps.append(np.where(mask, np.minimum(levels + 0.1, 0.9), levels).astype(np.float32))
    assert our_aupro(maps, masks) == pytest.approx(anomalib_aupro(maps, masks), abs=1e-6)


def test_diagonal_neighbours_are_one_region():
    regions, areas = label_regions(np.eye(4, dtype=bool))
    assert regions.max() == 1
    assert areas.tolist() == [4]


def test_small_regions_weigh_as_much_as_large_ones():
    mask = np.zeros((20, 20), dtype=bool)
    mask[:10, :10] = mask[15, 15] = True
    found_large = np.where(mask, 1.0, 0.0).astype(np.float32)
    found_large[15, 15] = -1
    # Half the regions at once, the other only behind all the background.
    assert our_aupro([found_large], [mask]) == pytest.approx(0.5)


def test_perfect_map_is_one_and_no_region_is_undefined():
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:4, 2:4] = True
    assert our_aupro([mask.astype(np.float32)], [mask]) == pytest.approx(1)
    assert np.isnan(our_aupro([np.zeros((8, 8), np.float32)], [np.zeros((8, 8), bool)]))
    assert np.isnan(our_aupro([np.zeros((8, 8), np.float32)], [np.ones((8, 8), bool)]))


def test_constant_map_is_the_diagonal():
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:4, 2:4] = True
    assert our_aupro([np.full((8, 8), 0.4, np.float32)], [mask]) == pytest.approx(0.15)
