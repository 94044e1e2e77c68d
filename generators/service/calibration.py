"""Filters calibrated once per catalog, and used by all of its sets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from millsight.generators.filters.chain import FilterChain
from millsight.generators.production.commands import GenerateSampleConfig
from millsight.generators.production.produce import calibrate
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.executors.local import resolve_device

POLL_S = 0.25
MESSAGE = "looking at the real pictures"
Report = Callable[[int, int, str], None]


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    chain: FilterChain | None = None
    standing: str = MESSAGE


class Calibration:
    """Chains by catalog and settings.

    Args:
        device: Where features are computed.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._lock = threading.Lock()

    def chain(self, config: GenerateSampleConfig, catalog: Catalog, report: Report) -> FilterChain:
        """Return the catalog's filters with nothing accepted yet; the first one who asks waits.

        Args:
            config: Its filters and its scorer are used.
            catalog: Real pictures.
            report: Told pictures looked at, in all, and the same in words, which whoever waits for
                another's look hears too; raises to break off.

        Raises:
            UserError: If a setting is wrong, or there are no real pictures to learn from.
        """
        key = catalog.fingerprint, repr((config.filters, config.scorer))
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
        while not entry.lock.acquire(timeout=POLL_S):
            report(0, 0, entry.standing)
        try:
            if entry.chain is None:
                device = resolve_device(self._device)

                def progress(done: int, total: int) -> None:
                    entry.standing = f"{MESSAGE} {done}/{total}"
                    report(done, total, entry.standing)

                report(0, 0, MESSAGE)
                entry.chain = calibrate(config, catalog, device, progress)
            return entry.chain.for_another_set()
        finally:
            entry.lock.release()
