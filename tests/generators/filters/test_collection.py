from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from drawn_defects import make

from millsight.generators.filters.chain import FilterChain
from millsight.generators.filters.collection import Collection, collect
from millsight.generators.filters.config import BudgetConfig
from millsight.generators.filters.table import HEADER
from millsight.generators.samples import Generated, Request, SampleSpec
from millsight.platform.errors import UserError

ALL_TRIES = BudgetConfig(attempts=4, total=4.0, batch_size=3)


class Spoiling:
    """Draws pits; those of every third index are blank until their third attempt."""

    def __init__(self, spoilt: int = 2) -> None:
        self.spoilt = spoilt
        self.asked: list[tuple[int, int]] = []

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        self.asked += [(request.index, request.attempt) for request in requests]
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Generated:
        sample = replace(make(request.index, "pit"), request=request)
        if request.index % 3 or request.attempt >= self.spoilt:
            return sample
        return replace(sample, picture=sample.picture * 0)


@pytest.fixture
def lenient(calibrated: FilterChain) -> FilterChain:
    """Only what the spoilt ones fail by."""
    kept = [one for one in calibrated.filters if one.name == "blank"]
    return replace(calibrated, filters=kept).for_another_set()


def test_rejected_samples_are_tried_again_with_another_seed(lenient):
    engine, collection = Spoiling(), Collection(SampleSpec("pit", 7), lenient, ALL_TRIES)
    found = list(collect(engine, collection))
    assert engine.asked == [
        *((index, 0) for index in range(7)),
        *((index, 1) for index in (0, 3, 6)),
        *((index, 2) for index in (0, 3, 6)),
    ]
    kept = [item for item in found if item.accepted]
    assert sorted(item.request.index for item in kept) == list(range(7))
    assert len({item.request.seed for item in found}) == len(found)
    summary = collection.summary()
    assert (summary["accepted"], summary["attempts"], summary["missing"]) == (7, 13, [])
    assert "7 of 7 samples of pit accepted in 13 attempts." in collection.to_text()


def test_the_set_does_not_depend_on_batches(lenient):
    kept = []
    for batch_size in (1, 5):
        budget = replace(ALL_TRIES, batch_size=batch_size)
        collection = Collection(SampleSpec("pit", 7), lenient.for_another_set(), budget)
        kept.append([(item.request, item.accepted) for item in collect(Spoiling(), collection)])
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("budget", "attempts"),
    [(BudgetConfig(attempts=2, total=9), 10), (BudgetConfig(attempts=9, total=1.3), 9)],
)
def test_a_spent_budget_is_told(lenient, budget, attempts):
    collection = Collection(SampleSpec("pit", 7), lenient, budget)
    list(collect(Spoiling(spoilt=99), collection))
    assert collection.summary()["missing"] == [0, 3, 6]
    assert collection.attempts == attempts
    told = collection.to_text()
    assert "4 of 7 samples of pit accepted" in told
    assert "3 are missing. Most were rejected by the filter 'blank'." in told


def test_the_table_counts_by_class_and_filter(chain):
    collection = Collection(SampleSpec("pit", 4), chain, replace(ALL_TRIES, attempts=1))
    list(collect(Spoiling(), collection))
    rows = {row["filter"]: row for row in collection.table.rows()}
    assert rows["blank"]["rejected"] == 2
    assert rows["blank"]["judged"] == rows["all filters"]["judged"] == 4
    assert rows["blank"]["accepted"] == 0.5
    # Black pictures are no pits either.
    assert rows["blank"]["alone"] < 2
    assert list(rows)[-1] == "all filters"
    lines = collection.table.to_text().splitlines()
    assert tuple(lines[0].split()) == HEADER
    assert len(lines) == len(rows) + 1


def test_wrong_budgets_are_refused(lenient):
    for wrong in (BudgetConfig(attempts=0), BudgetConfig(total=0.5), BudgetConfig(batch_size=0)):
        with pytest.raises(UserError, match="budget"):
            Collection(SampleSpec("pit", 4), lenient, wrong)
