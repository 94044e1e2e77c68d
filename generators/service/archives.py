"""Sets as zip archives: the command's own export, of the pictures that people left in."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from millsight.generators.export.card import Reason, write_card
from millsight.generators.export.export import export, write_zip
from millsight.generators.export.formats import Format
from millsight.generators.production.produce import Sources, card_of, find_materials
from millsight.generators.service.catalogs import RealSet
from millsight.generators.service.models import Models
from millsight.generators.service.pictures import PictureStore
from millsight.generators.service.sets import GeneratedSet
from millsight.platform.services.problems import ProblemError, TooManyRequestsError
from millsight.platform.services.uploads import check_disk
from millsight.platform.weights import load_weights

BY_HAND = "by hand"
WAIT_S = 2.0
RETRY_S = 5.0


class Archives:
    """Packs sets, one at a time.

    Args:
        folder: Where archives are made; what lies there is removed.
        catalogs: By name.
        models: Base models and adapters.
        pictures: Of the sets.
    """

    def __init__(
        self,
        folder: Path,
        catalogs: Mapping[str, RealSet],
        models: Models,
        pictures: PictureStore,
    ) -> None:
        self._folder = folder
        self._catalogs = catalogs
        self._models = models
        self._pictures = pictures
        # Two large ones at once would only take twice the disk.
        self._lock = threading.Lock()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def pack(self, found: GeneratedSet, layout: Format, show: str) -> Path:
        """Write a zip archive, which belongs to the caller.

        Args:
            found: The set.
            layout: Of the set in it.
            show: ``undropped`` or ``kept``.

        Raises:
            ProblemError: 409 if nothing is left to pack, or what it was made of is no longer
                registered; 429 while others are being packed; 507 for a full disk.
        """
        if not self._pictures.count(found.id, show):
            raise ProblemError(HTTPStatus.CONFLICT, "No picture of the set is there to pack.")
        check_disk(self._folder, 2 * found.bytes)
        sources = self.sources(found)
        config = found.config
        with self._alone(), tempfile.TemporaryDirectory(dir=self._folder) as work:
            chosen = self._pictures.chosen(found, show)
            exported = export(chosen, f"{work}/set", layout, (config.spec.label,))
            summary = found.summary or {"attempts": found.accepted + found.rejected, "table": []}
            left = Reason(BY_HAND, found.accepted, found.accepted - exported.pictures)
            write_card(card_of(config, sources, summary, left), exported)
            path = self._folder / f"{Path(work).name}.zip"
            write_zip(exported.folder, str(path))
        return path

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=WAIT_S):
            raise TooManyRequestsError("Another set is being packed.", RETRY_S)
        try:
            yield
        finally:
            self._lock.release()

    def sources(self, found: GeneratedSet) -> Sources:
        """Return what a set was made from.

        Raises:
            ProblemError: 409 if its catalog, base model or adapter is no longer there to be named
                in the data card.
        """
        body = found.asked.body
        real = self._catalogs.get(found.asked.catalog)
        if real is None:
            raise _gone("catalog", found.asked.catalog)
        config = found.config
        weights = {"features": load_weights(config.filters.network).fingerprint}
        terms = ""
        if body["base"] is not None:
            base = self._models.bases.get(body["base"])
            if base is None or base.model is None:
                raise _gone("base model", body["base"])
            terms = base.model.license.name
            weights["base"] = base.model.fingerprint
        if body["adapter"] is not None:
            adapter = self._models.adapters.get(body["adapter"])
            if adapter is None or adapter.adapter is None:
                raise _gone("adapter", body["adapter"])
            weights["adapter"] = adapter.adapter.sha256
        return Sources(real.catalog, find_materials(config, real.catalog), weights, terms)


def _gone(kind: str, name: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.CONFLICT,
        f"The {kind} {name} is not registered any more, or cannot be used; ask the operator.",
    )
