from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millsight.evaluation.metrics.aupro import aupro
from millsight.evaluation.metrics.histograms import ScoreHistograms
from millsight.evaluation.metrics.pixels import picture_pixels, pixel_curve
from millsight.evaluation.results import (
    SCHEMA,
    MapHistogram,
    PictureResult,
    ResultBox,
    decisions,
    from_table,
    merge,
    read_table,
    run_of,
    to_table,
    write_table,
)
from millsight.evaluation.results.histograms import EDGES, count_pixels, score_histograms
from millsight.evaluation.results.table import VERSION
from millsight.platform import storage
from millsight.platform.errors import UserError

NUMBERS = st.floats(-1e6, 1e6)
COUNTS = st.integers(0, 2**40)
WORDS = st.text("abcß/ ", max_size=4)


def maybe(strategy):
    return st.none() | strategy


BOXES = maybe(
    st.lists(
        st.builds(
            ResultBox,
            *[NUMBERS] * 4,
            label=maybe(WORDS),
            area=maybe(NUMBERS),
            crowd=st.booleans(),
            score=maybe(NUMBERS),
        ),
        max_size=2,
    ).map(tuple)
)
HISTOGRAMS = maybe(
    st.lists(st.tuples(st.integers(0, EDGES.size), COUNTS, COUNTS, NUMBERS), max_size=3).map(
        lambda rows: MapHistogram(*(tuple(row[i] for row in rows) for i in range(4)))
    )
)
RESULTS = st.builds(
    PictureResult,
    sample_id=st.text("ab", min_size=1, max_size=2),
    uri=st.text("xy/", max_size=3),
    category=WORDS,
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    split=maybe(st.sampled_from(["train", "test"])),
    synthetic=st.booleans(),
    defective=maybe(st.booleans()),
    label=maybe(WORDS),
    defect_area=maybe(COUNTS),
    defect_elongation=maybe(NUMBERS),
    true_mask_uri=maybe(WORDS),
    true_boxes=BOXES,
    score=maybe(NUMBERS),
    decision=maybe(st.booleans()),
    predicted_label=maybe(WORDS),
    class_scores=st.dictionaries(WORDS, NUMBERS, max_size=2),
    tp=maybe(COUNTS),
    fp=maybe(COUNTS),
    fn=maybe(COUNTS),
    predicted_area=maybe(COUNTS),
    predicted_boxes=BOXES,
    predicted_mask_uri=maybe(WORDS),
    map_histogram=HISTOGRAMS,
)
TABLES = st.lists(RESULTS, max_size=8, unique_by=lambda row: (row.sample_id, row.uri))


def row(name: str, **known) -> PictureResult:
    return PictureResult(name, f"{name}.png", "steel", 8, 6, **known)


@settings(max_examples=50, deadline=None)
@given(TABLES, st.data())
def test_shards_in_any_order_merge_to_exactly_the_whole(results, data):
    whole = to_table(results, "run")
    homes = data.draw(st.lists(st.integers(0, 2), min_size=len(results), max_size=len(results)))
    shards = [
        to_table([item for item, home in zip(results, homes, strict=True) if home == shard], "run")
        for shard in data.draw(st.permutations(range(3)))
    ]
    merged = merge(shards)
    assert merged.equals(whole, check_metadata=True)
    assert merge([merge(shards[:2]), shards[2]]).equals(whole, check_metadata=True)


@settings(max_examples=50, deadline=None)
@given(TABLES)
def test_rows_come_back_as_they_were(results):
    table = to_table(results, "run")
    assert table.schema.equals(SCHEMA)
    expected = sorted(results, key=lambda item: (item.sample_id, item.uri))
    assert list(from_table(table)) == expected
    without = [replace(item, map_histogram=None) for item in expected]
    assert list(from_table(table.drop_columns(["map_histogram"]))) == without


def test_merged_shards_give_the_same_file_as_the_whole(tmp_path):
    results = [row(name, score=number / 7) for number, name in enumerate("abcde")]
    write_table(tmp_path / "whole.parquet", to_table(results, "run 1"))
    shards = [to_table(results[3:], "run 1"), to_table(results[:3], "run 1")]
    write_table(tmp_path / "merged.parquet", merge(shards))
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "merged.parquet").read_bytes()
    table = read_table(tmp_path / "merged.parquet")
    assert run_of(table) == "run 1"
    assert list(from_table(table)) == results


def test_a_picture_is_judged_once_but_files_of_equal_bytes_are_two_rows():
    one, other = row("a"), replace(row("a"), uri="copy.png")
    assert merge([to_table([one], "r"), to_table([other], "r")]).num_rows == 2
    with pytest.raises(UserError, match=r"a\.png .* has two results"):
        to_table([one, one], "r")
    with pytest.raises(UserError, match=r"a\.png .* has two results"):
        merge([to_table([one], "r"), to_table([row("b"), one], "r")])


def test_other_runs_versions_and_columns_are_refused(tmp_path):
    table = to_table([row("a")], "run 1")
    with pytest.raises(UserError, match="run 1 and run 2"):
        merge([table, to_table([row("b")], "run 2")])
    newer = table.replace_schema_metadata({**table.schema.metadata, VERSION: b"2"})
    with pytest.raises(UserError, match="version 2, this millsight uses 1"):
        merge([table, newer])
    with pytest.raises(UserError, match="columns"):
        merge([table, table.drop_columns(["score"])])
    with pytest.raises(UserError, match="name at least one"):
        merge([])
    storage.write_table(tmp_path / "other.parquet", pa.table({"a": [1]}))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    for name, reason in [("other", "not a millsight"), ("broken", "readable"), ("no", "no such")]:
        with pytest.raises(UserError, match=reason):
            read_table(tmp_path / f"{name}.parquet")


def test_the_document_describes_every_column():
    assert [item.name for item in fields(PictureResult)] == SCHEMA.names
    document = Path(__file__).parents[2] / "docs" / "result-table.md"
    lines = [line for line in document.read_text().splitlines() if line.startswith("| `")]
    described = {line.split("`")[1]: line for line in lines}
    assert list(described) == SCHEMA.names
    for column in SCHEMA:
        assert ("yes" if column.nullable else "no") == described[column.name].split("|")[3].strip()


@pytest.fixture(scope="module")
def pictures():
    """Ten maps of anything from one pixel's defect to a constant, with masks."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(10):
        mask = rng.random((24, 30)) < 0.02 * (number % 4)
        scores = rng.normal(number / 10, 0.3, mask.shape) + mask * 0.4
        found.append(picture_pixels(scores.astype(np.float32), mask))
    return found


def as_rows(pictures) -> list[PictureResult]:
    histograms = [count_pixels(item) for item in pictures]
    return [row(str(number), map_histogram=item) for number, item in enumerate(histograms)]


def test_histograms_of_shards_are_those_of_the_whole(pictures):
    rows = as_rows(pictures)
    rows.insert(3, row("no map"))
    whole = score_histograms(to_table(rows, "r"))
    again = score_histograms(merge([to_table(rows[6:], "r"), to_table(rows[:6], "r")]))
    assert np.array_equal(whole.curve().positives, again.curve().positives)
    dense = ScoreHistograms.of(pictures, EDGES)
    assert np.array_equal(whole.positives.sum(1), dense.positives.sum(1))
    for name in ("auroc", "average_precision"):
        assert getattr(whole.curve(), name)() == getattr(dense.curve(), name)()
    assert whole.positives.sum() == sum(item.defective.sum() for item in pictures)


def test_histograms_stay_close_to_the_exact_curve(pictures):
    exact, rough = pixel_curve(pictures), score_histograms(to_table(as_rows(pictures), "r")).curve()
    assert rough.auroc() == pytest.approx(exact.auroc(), abs=2e-3)
    assert rough.average_precision() == pytest.approx(exact.average_precision(), abs=5e-3)
    assert aupro(rough) == pytest.approx(aupro(exact), abs=5e-3)


def test_every_value_has_a_bin_at_most_a_128th_wide():
    assert (np.diff(EDGES) < 0).all()
    assert EDGES.size < 2**15
    values = np.array([np.inf, 65504, 1, 0.5, 1e-3, 0, -1, -65504, -np.inf], np.float32)
    counted = count_pixels(picture_pixels(values[None], None))
    assert sum(counted.normal) == values.size
    assert list(counted.bins) == sorted(counted.bins)
    above = EDGES[EDGES > 1e-3]
    assert (above[:-1] / above[1:]).max() <= 1 + 1 / 128
    with pytest.raises(ValueError, match="NaN"):
        count_pixels(picture_pixels(np.full((2, 2), math.nan), None))


def test_decisions_follow_what_was_predicted_and_stay_open_where_nothing_was():
    found = (ResultBox(0, 0, 1, 1, "dent", 0.4), ResultBox(0, 0, 2, 2, "dent", 0.7))
    rows = [
        row("a", score=0.5, predicted_area=3, predicted_label="dent", predicted_boxes=found),
        row("b", score=0.4, predicted_area=0, predicted_label="good", predicted_boxes=()),
        row("c"),
    ]
    for decided in (
        decisions.by_score(rows, 0.5),
        decisions.by_pixels(rows),
        decisions.by_label(rows),
        decisions.by_boxes(rows, 0.7),
    ):
        assert [item.decision for item in decided] == [True, False, None]
    assert decisions.by_boxes(rows, 0.71)[0].decision is False
    assert decisions.by_pixels(rows, 4)[0].decision is False
    assert [item.score for item in decisions.score_by_boxes(rows)] == [0.7, 0, None]
