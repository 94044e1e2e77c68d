"""Filters are calibrated once per catalog, and all who wait for it hear how far it is."""

from __future__ import annotations

import queue
import threading

from millsight.generators.filters.config import FilterConfig
from millsight.generators.production.commands import GenerateSampleConfig
from millsight.generators.samples import SampleSpec
from millsight.generators.service.calibration import MESSAGE, Calibration
from millsight.platform.catalog.catalog import load_data


def test_the_first_look_is_told_to_all_who_wait_for_it(real_steel):
    calibration, catalog = Calibration("cpu"), load_data(str(real_steel))
    # Looked at by no other test of this process.
    own = FilterConfig(least_side=40)
    config = GenerateSampleConfig(data=str(real_steel), spec=SampleSpec("scratch"), filters=own)
    told: list[tuple[int, int, str]] = []
    heard: queue.Queue[str] = queue.Queue()
    found = []

    def wait() -> None:
        found.append(calibration.chain(config, catalog, lambda *words: heard.put(words[2])))

    second = threading.Thread(target=wait)

    def report(done: int, total: int, message: str) -> None:
        told.append((done, total, message))
        if done == 3:
            second.start()
            assert heard.get(timeout=30) == message, "told to the one who waits, while it lasts"

    chain = calibration.chain(config, catalog, report)
    second.join(30)
    total = told[-1][0]
    assert total > 20
    assert told == [(0, 0, MESSAGE)] + [
        (done, total, f"{MESSAGE} {done}/{total}") for done in range(1, total + 1)
    ]
    assert [one.filters for one in found] == [chain.filters], "looked at once"
    assert found[0].set_filters[0] is not chain.set_filters[0]
