"""KeAD as an anomaly scorer, for ``millsight.platform.anomaly_scorers``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from millsight.platform.anomaly_scorers import AnomalyScorer
from millsight.platform.catalog.pictures import PictureError, open_picture
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.references import choose_references


def make_scorer(
    samples: Sequence[Sample], device: str = "cpu", config: KeADConfig | None = None
) -> AnomalyScorer:
    """Learn from good training pictures, all as one category; see ``ScorerMaker``.

    Raises:
        UserError: If no picture of the training split is known to be good, or one does not decode.
    """
    goods = [one for one in samples if one.defective is False and one.split in ("train", None)]
    if not goods:
        raise UserError(
            "the anomaly filter compares with good pictures: the training split has none with the "
            "label good; see: millsight data inspect"
        )
    kead = KeAD.load(config or KeADConfig(), device)
    merged = [replace(one, category=goods[0].category) for one in goods]
    (references,) = choose_references(merged, kead.config).values()
    kead.learn(goods[0].category, [_open(one) for one in references])

    def score(pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        # Torch warns of arrays that are not to be written to, as shared plates are.
        copies = [picture.copy() for picture in pictures]
        found = kead.score(copies, goods[0].category)
        return [np.asarray(one.map, np.float32) for one in found]

    return score


def _open(sample: Sample) -> NDArray[np.uint8]:
    try:
        return open_picture(sample.uri)
    except PictureError as error:
        raise UserError(f"{sample.uri}: {error}; mend or remove it.") from None
