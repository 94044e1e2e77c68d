from __future__ import annotations

import pytest
from drawn_defects import CONFIG, write_catalog

from millsight.generators.filters.chain import FilterChain
from millsight.platform.catalog.catalog import Catalog


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return write_catalog(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def calibrated(catalog: Catalog) -> FilterChain:
    return FilterChain.calibrate(catalog, CONFIG)


@pytest.fixture
def chain(calibrated: FilterChain) -> FilterChain:
    """The calibrated filters, of a set that nothing was accepted for yet."""
    return calibrated.for_another_set()
