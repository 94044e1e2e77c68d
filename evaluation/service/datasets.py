"""Registered datasets: what clients may predict on, and the truth that stays here."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from millsight.evaluation.results import PictureResult, from_samples, from_table
from millsight.evaluation.results.table import read_table, to_table, write_table
from millsight.evaluation.service.config import DatasetConfig
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import digest

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """A registered dataset.

    Attributes:
        config: What the operator said of it.
        is_open: Whether every reader may see single pictures' truth.
        fingerprint: Of pictures and truth; runs over the same can be compared.
        root: Folder the pictures' open names are relative to.
        rows: Its pictures with their truth, by sample id; equal files are one picture.
        table: Parquet file of ``rows``.
    """

    config: DatasetConfig
    is_open: bool
    fingerprint: str
    root: str
    rows: Sequence[PictureResult]
    table: Path

    @property
    def name(self) -> str:
        """Its id in addresses."""
        return self.config.name

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.config.title or self.config.name

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each picture in ``rows``, by sample id."""
        return {row.sample_id: number for number, row in enumerate(self.rows)}

    @cached_property
    def tasks(self) -> list[str]:
        """What its truth allows to judge: some of samples, masks, boxes and classes."""
        known = {
            "samples": any(row.defective is not None for row in self.rows),
            "masks": any(row.true_mask_uri is not None for row in self.rows),
            "boxes": any(row.true_boxes for row in self.rows),
            "classes": len(self.classes) > 1,
        }
        return [name for name, is_known in known.items() if is_known]

    @cached_property
    def classes(self) -> list[str]:
        """The true classes, by name."""
        labels = {row.label for row in self.rows if row.label is not None}
        labels |= {box.label for row in self.rows for box in row.true_boxes or () if box.label}
        return sorted(labels)

    def file_of(self, row: PictureResult) -> str:
        """Return the name that predictions of a picture go by.

        File and folder names often say the class, so pictures with hidden labels go by sample id.
        """
        if self.is_open:
            return row.uri.removeprefix(self.root).lstrip("/")
        return f"{row.sample_id}{PurePosixPath(row.uri).suffix.lower()}"


def open_datasets(
    configs: Sequence[DatasetConfig], folder: Path, *, all_open: bool
) -> dict[str, Dataset]:
    """Open what the operator registered; truth is read once and kept as a result table.

    Args:
        configs: The datasets.
        folder: Directory for the truth tables.
        all_open: Whether whoever reaches the service may see everything.

    Raises:
        UserError: If a name is not fit for an address or taken, or a dataset does not open.
    """
    datasets: dict[str, Dataset] = {}
    for number, config in enumerate(configs):
        if not NAME.fullmatch(config.name):
            raise UserError(
                f"--datasets {number}: name {config.name!r} has to be lower-case letters, digits, "
                "dots, dashes and underscores, at most 64."
            )
        if config.name in datasets:
            raise UserError(f"--datasets: two are called {config.name!r}; rename one.")
        datasets[config.name] = _open(config, folder, all_open or config.labels == "open")
    return datasets


def _open(config: DatasetConfig, folder: Path, is_open: bool) -> Dataset:
    catalog = load_data(config.data, config.layout, config.category).where(split=config.split)
    if not len(catalog):
        raise UserError(f"--datasets {config.name}: {config.data} has no split {config.split!r}.")
    known = {"data": catalog.fingerprint, "uri": catalog.uri}
    table = folder / f"{config.name}-{digest(known)[:16]}.parquet"
    if not table.exists():
        write_table(table, to_table(from_samples(_once(config.name, catalog)), run=config.name))
    rows = tuple(from_table(read_table(table)))
    logger.info("dataset %s: %d pictures", config.name, len(rows))
    return Dataset(
        config=replace(config),
        is_open=is_open,
        fingerprint=catalog.fingerprint,
        root=_root(catalog, rows),
        rows=rows,
        table=table,
    )


def _once(name: str, catalog: Catalog) -> list[Sample]:
    """Keep one of equal files: they are one picture, and go by one sample id."""
    samples = list({sample.id: sample for sample in reversed(catalog.samples)}.values())
    if repeated := len(catalog) - len(samples):
        logger.warning("dataset %s: %d files repeat others' bytes; left out", name, repeated)
    return samples


def _root(catalog: Catalog, rows: Sequence[PictureResult]) -> str:
    if catalog.uri and all(row.uri.startswith(catalog.uri) for row in rows):
        return catalog.uri
    parents = [PurePosixPath(row.uri).parents for row in rows]
    shared = set.intersection(*({str(parent) for parent in each} for each in parents))
    return max(shared, key=len, default="")
