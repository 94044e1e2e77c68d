"""Registered catalogs: the real pictures that sets are made from, as they were at the start."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from millsight.generators.masks.sources import defect_classes, of_split
from millsight.generators.production.engines import choose_materials
from millsight.generators.samples import Materials
from millsight.generators.service.config import CatalogConfig
from millsight.platform import storage
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RealSet:
    """A registered catalog.

    Attributes:
        config: What the operator said of it.
        catalog: Its pictures.
    """

    config: CatalogConfig
    catalog: Catalog

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.config.title or self.config.name

    @cached_property
    def materials(self) -> Mapping[str, Materials]:
        """What engines may use, by class of the training split."""
        labels = defect_classes(of_split(self.catalog, "train"))
        return {label: choose_materials(self.catalog, label) for label in labels}

    @cached_property
    def megapixels(self) -> float:
        """Of a picture of the training split, on average."""
        train = [one for one in self.catalog if one.split == "train"]
        pixels = sum((one.width or 0) * (one.height or 0) for one in train)
        return pixels / max(1, len(train)) / 1e6

    @cached_property
    def index(self) -> dict[str, Sample]:
        """Pictures by id."""
        return {one.id: one for one in self.catalog}


def located(sample: Sample) -> bool:
    """Say whether it is known where a defect is."""
    return sample.mask_uri is not None or bool(sample.boxes)


def open_catalogs(configs: Sequence[CatalogConfig]) -> dict[str, RealSet]:
    """Open what the operator registered.

    Raises:
        UserError: If a name is not fit for an address or taken, or a catalog does not open or has
            no training split.
    """
    check_names([config.name for config in configs], "catalogs")
    return {config.name: _open(config) for config in configs}


def check_names(names: Sequence[str], flag: str) -> None:
    """Refuse names that are no ids.

    Raises:
        UserError: Naming the setting.
    """
    for name, count in Counter(names).items():
        if not NAME.fullmatch(name):
            raise UserError(
                f"--{flag}: the name {name!r} has to be lower-case letters, digits, dots, dashes "
                "and underscores, at most 64."
            )
        if count > 1:
            raise UserError(f"--{flag}: {count} are called {name!r}; rename all but one.")


def _open(config: CatalogConfig) -> RealSet:
    catalog = load_data(config.data, layout=config.layout)
    if config.category is not None:
        catalog = catalog.where(category=config.category)
    if not any(one.split == "train" for one in catalog):
        raise UserError(
            f"--catalogs {config.name}: {config.data} has no training split; make one with "
            "`millsight data split` and register the catalog that it writes."
        )
    logger.info("catalog %s: %d pictures", config.name, len(catalog))
    # Recipes name it, wherever they are followed.
    return RealSet(replace(config, data=storage.absolute(config.data)), catalog)
