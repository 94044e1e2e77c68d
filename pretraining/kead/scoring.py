"""From features to scores and maps: the text term, the memory bank, the unlabelled pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.features import PatchFeatures
from millsight.pretraining.kead.memory_bank import MemoryBank, mean_map
from millsight.pretraining.kead.text import anomaly_probability
from millsight.pretraining.kead.unlabelled import Identity, UnlabelledPictures


@dataclass(frozen=True, slots=True)
class PictureScore:
    """How anomalous one picture is, and where.

    Attributes:
        score: S; higher is more anomalous. From the text alone it is ``class_score``, with pictures
            to compare with the mean of ``class_score`` and the map's maximum, without text that
            maximum.
        class_score: s_img, the class token's score in [0, 1] (eq. 2); ``None`` without text.
        map: M, float32 (h, w) on the patch grid; (0, 0) is top left, the grid covers the picture.
        align_corners: How ``upsample`` interpolates; true only under ``compat="official"``.
    """

    score: float
    class_score: float | None
    map: np.ndarray
    align_corners: bool = False

    def upsample(self, height: int, width: int) -> np.ndarray:
        """Interpolate the map bilinearly to float32 (height, width)."""
        grid = torch.from_numpy(self.map)[None, None]
        resized = functional.interpolate(
            grid, (height, width), mode="bilinear", align_corners=self.align_corners
        )
        return np.asarray(resized[0, 0].numpy())


@dataclass(frozen=True, slots=True)
class CategoryModel:
    """What KeAD knows of one category.

    Attributes:
        text: Unit rows t_n, t_a, (2, D); ``None`` for a vision-only encoder.
        bank: Patch tokens of the normal pictures, reduced where there are unlabelled ones;
            ``None`` for k = 0.
        unlabelled: Reduced patch tokens of unlabelled pictures; ``None`` without.
    """

    text: Tensor | None
    bank: MemoryBank | None
    unlabelled: UnlabelledPictures | None = None


def with_unlabelled(model: CategoryModel, unlabelled: UnlabelledPictures | None) -> CategoryModel:
    """Add unlabelled pictures to what is known, the memory bank brought into their space."""
    if unlabelled is None:
        return model
    bank = None if model.bank is None else unlabelled.reduce_bank(model.bank)
    return CategoryModel(model.text, bank, unlabelled)


def combine(
    features: PatchFeatures,
    model: CategoryModel,
    config: KeADConfig,
    identities: Sequence[Identity] | None = None,
) -> list[PictureScore]:
    """Turn features into scores and maps (eq. 2-5).

    Z = mean over layers of s(patch) (eq. 3-4), F from the memory bank (eq. 5), M = Z + F. The
    image score is s_img without pictures to compare with, (s_img + max M) / 2 with some, max M
    without text; with ``top_share`` the mean of the highest cells stands for the maximum. With
    unlabelled pictures, (F + U) / 2 stands for F, or U alone for k = 0 (``unlabelled.py``).
    """
    terms: list[Tensor] = []
    class_scores: Tensor | None = None
    if model.text is not None:
        assert features.class_token is not None  # noqa: S101
        class_scores = anomaly_probability(features.class_token.float(), model.text)
        layers = [anomaly_probability(tokens.float(), model.text) for tokens in features.layers]
        terms.append(mean_map(layers, features.grids))
    distances = _distance_maps(features, model, identities)
    if distances:
        terms.append(distances[0] if len(distances) == 1 else (distances[0] + distances[1]) / 2)
    maps = terms[0] if len(terms) == 1 else terms[0] + terms[1]
    cells = maps.flatten(1)
    highest = max(1, int((config.top_share or 0) * cells.shape[1]))
    peaks = cells.topk(highest, dim=1).values.mean(dim=1)
    if class_scores is None:
        scores = peaks
    else:
        scores = (class_scores + peaks) / 2 if distances else class_scores
    grids = maps.float().cpu().numpy()
    return [
        PictureScore(
            score=float(scores[i]),
            class_score=None if class_scores is None else float(class_scores[i]),
            map=grids[i],
            align_corners=config.compat == "official",
        )
        for i in range(len(grids))
    ]


def _distance_maps(
    features: PatchFeatures, model: CategoryModel, identities: Sequence[Identity] | None
) -> list[Tensor]:
    """Return F, or F and U, or U, each (B, h, w); nothing where no picture was given."""
    if model.unlabelled is None:
        return [] if model.bank is None else [model.bank.anomaly_map(features)]
    reduced = model.unlabelled.reduce(features)
    mutual = model.unlabelled.anomaly_map(reduced, identities)
    return [mutual] if model.bank is None else [model.bank.anomaly_map(reduced), mutual]
