from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from millsight.generators.procedural.commands import GenerateConfig, generate
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.pretraining.downstream.multitask.data import MaskedPictures, read_pictures


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def catalog(tmp_path_factory) -> Catalog:
    folder = tmp_path_factory.mktemp("pictures")
    made = generate(GenerateConfig(output=str(folder / "set"), count=32, size=64))
    found = load_data(made.artifact.path)
    # Every third defective and every third good picture goes to each split.
    ordered = sorted(found.samples, key=lambda sample: sample.defective)
    splits = {sample.id: ("train", "val", "test")[i % 3] for i, sample in enumerate(ordered)}
    return found.with_samples(replace(s, split=splits[s.id]) for s in found.samples)


@pytest.fixture(scope="session")
def eight(catalog) -> MaskedPictures:
    """Five with the largest defects, then three good ones."""
    pictures, broken = read_pictures(catalog.samples, (64, 64), lambda done, total: None)
    assert (len(pictures), broken) == (32, ())
    by_area = np.argsort(-pictures.areas, kind="stable")
    return pictures.take(np.concatenate((by_area[:5], by_area[-3:])))
