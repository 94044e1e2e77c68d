from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import damaged_pictures as damaged
import numpy as np
import pytest
from PIL import Image

from millsight.platform.catalog.catalog import Catalog, content_id, read_folder
from millsight.platform.catalog.duplicates import find_duplicates, near_pairs
from millsight.platform.catalog.sample import Sample
from millsight.platform.catalog.splits import split
from millsight.platform.errors import UserError


def coils(count: int, first: int = 0) -> list[Sample]:
    """Samples of coils with 1 to 5 pictures, most of them with one label."""
    random = np.random.default_rng(7)
    sizes = random.integers(1, 6, first + count)
    labels = random.choice(["good", "pit", "scratch"], first + count, p=[0.6, 0.3, 0.1])
    return [
        Sample(content_id(f"{coil} {n}".encode()), f"{coil}/{n}", "plate", None, f"c{coil}", label)
        for coil, (size, label) in enumerate(zip(sizes, labels, strict=True))
        for n in range(size)
        if coil >= first
    ]


def splits_by_uri(catalog: Catalog) -> dict[str, str | None]:
    return {sample.uri: sample.split for sample in catalog}


def test_groups_stay_whole_and_labels_are_shared_out() -> None:
    divided = split(Catalog(tuple(coils(300))))
    assert divided.divided_groups() == ()
    for label in ("good", "pit", "scratch"):
        counts = Counter(sample.split for sample in divided.where(label=label))
        total = sum(counts.values())
        assert abs(counts["train"] / total - 0.6) < 0.06
        assert abs(counts["test"] / total - 0.2) < 0.06


def test_order_does_not_matter_and_seeds_do() -> None:
    samples = coils(100)
    divided = splits_by_uri(split(Catalog(tuple(samples))))
    assert splits_by_uri(split(Catalog(tuple(reversed(samples))))) == divided
    assert splits_by_uri(split(Catalog(tuple(samples)), seed=1)) != divided


def test_adding_pictures_moves_few_or_none() -> None:
    old = split(Catalog(tuple(coils(300))))
    more = Catalog(tuple(coils(330)))
    before, after = splits_by_uri(old), splits_by_uri(split(more))
    moved = sum(after[uri] != name for uri, name in before.items())
    assert moved < 0.12 * len(before)
    kept = splits_by_uri(split(more, previous=old))
    assert {uri: kept[uri] for uri in before} == before
    assert len({kept[uri] for uri in kept if uri not in before}) == 3


def test_equal_files_stay_together_whatever_their_group() -> None:
    samples = [Sample("0" * 32, f"{n}.png", "plate", group=f"g{n}") for n in range(30)]
    assert len({sample.split for sample in split(Catalog(tuple(samples)))}) == 1


def test_shares_are_checked() -> None:
    with pytest.raises(UserError, match="add up to 1"):
        split(Catalog(()), {"train": 0.5, "test": 0.2})
    with pytest.raises(UserError, match="--train, --val, --test"):
        split(Catalog(()), {"train": 0.5, "dev": 0.5})


def test_near_duplicates_are_found_and_kept_together(tmp_path: Path) -> None:
    rough = np.random.default_rng(3)
    for index in range(12):
        small = Image.fromarray(rough.integers(0, 255, (6, 6), dtype=np.uint8))
        picture = small.resize((96, 96), Image.Resampling.BICUBIC)
        picture.save(tmp_path / f"{index}.png")
        brighter = picture.point(lambda value: value * 0.8 + 20)
        brighter.resize((80, 80)).save(tmp_path / f"{index}_again.jpg", quality=60)
    flat = [Image.new("L", (50, 50), value) for value in (100, 101)]
    for index, picture in enumerate(flat):
        picture.save(tmp_path / f"flat_{index}.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "half.jpg").write_bytes(damaged.half("JPEG"))
    catalog = read_folder(tmp_path)
    report = find_duplicates(catalog)
    names = {frozenset((Path(p.first.uri).stem, Path(p.second.uri).stem)) for p in report.pairs}
    expected = {frozenset((str(index), f"{index}_again")) for index in range(12)}
    expected |= {frozenset(("copy", "0")), frozenset(("copy", "0_again"))}
    assert names == expected
    assert report.pairs[0].exact
    assert [Path(item.uri).name for item in report.quarantined] == ["half.jpg"]
    divided = split(catalog)
    by_start = defaultdict(set)
    for sample in divided:
        by_start[Path(sample.uri).stem.removesuffix("_again").replace("copy", "0")].add(
            sample.split
        )
    assert all(len(found) == 1 for found in by_start.values())
    assert not find_duplicates(divided).across_splits()
    assert len(find_duplicates(catalog, near=False).pairs) == 1


def test_search_over_several_blocks_equals_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    whole, _ = near_pairs(vectors, 0.9)
    monkeypatch.setattr("millsight.platform.catalog.duplicates.BLOCK", 7)
    blocks, values = near_pairs(vectors, 0.9)
    assert set(map(tuple, blocks.tolist())) == set(map(tuple, whole.tolist()))
    expected = np.argwhere(np.triu(vectors @ vectors.T, 1) >= 0.9)
    assert len(blocks) == len(expected)
    assert (values >= 0.9).all()
