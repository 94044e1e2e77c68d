"""KeAD: anomaly maps from a few normal pictures and words, without training.

arXiv 2509.18919 (AGSSP), section 4.1.1.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from millsight.platform.errors import UserError
from millsight.platform.fingerprints import to_json
from millsight.platform.weights import LoadedWeights, load_weights
from millsight.pretraining.kead.clip_encoder import TextEncoder
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.encoders import Encoder
from millsight.pretraining.kead.features import PatchFeatures
from millsight.pretraining.kead.loading import load_encoder
from millsight.pretraining.kead.memory_bank import MemoryBank, mean_map
from millsight.pretraining.kead.prompt_sets import PromptSet, Sentences, make_phrases, prompts_for
from millsight.pretraining.kead.references import augment
from millsight.pretraining.kead.text import (
    TEMPLATES,
    EncodeTexts,
    anomaly_probability,
    embed_prompts,
)

logger = logging.getLogger(__name__)

REFERENCE_BATCH = 8
SHOWN_WORDS = 8


@dataclass(frozen=True, slots=True)
class PictureScore:
    """How anomalous one picture is, and where.

    Attributes:
        score: S; higher is more anomalous. From the text alone it is ``class_score``, with a memory
            bank the mean of ``class_score`` and the map's maximum, without text that maximum.
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
        bank: Patch tokens of the normal pictures; ``None`` for k = 0.
    """

    text: Tensor | None
    bank: MemoryBank | None


class KeAD:
    """Scores pictures against words and against a few normal pictures.

    Example::

        kead = KeAD.load(KeADConfig(encoder="open_clip:ViT-B-16-plus-240/laion400m_e32"))
        kead.learn("steel_pipe", normals)               # four uint8 (H, W, 3) arrays
        for result in kead.score(pictures, "steel_pipe"):
            print(result.score, result.map.shape)

    ``compat="official"`` reproduces the released code where it differs from the paper:

    - the V-V stream is stored by reference, so all its chosen layers hold the last one
      (``VVVisionTransformer``);
    - all listed normal pictures are used once k is not 0 (``choose_references``);
    - pictures are squashed without antialiasing (``Preparation``);
    - maps are interpolated with ``align_corners=True`` (``PictureScore.upsample``);
    - everything is computed in float32.

    Args:
        config: The settings.
        encoder: Gives patch features.
        encode_texts: Embeds sentences in the encoder's space; ``None`` for a vision-only encoder,
            or where nothing more is to be learnt.
        categories: What was learnt before.
    """

    def __init__(
        self,
        config: KeADConfig,
        encoder: Encoder,
        encode_texts: EncodeTexts | None = None,
        categories: Mapping[str, CategoryModel] | None = None,
    ) -> None:
        self.config = config
        self.encoder = encoder
        self.encode_texts = encode_texts
        self.categories = dict(categories or {})
        self._learnt: dict[str, dict[str, Any]] = {}

    @classmethod
    def load(
        cls, config: KeADConfig, device: str = "cpu", *, weights: LoadedWeights | None = None
    ) -> KeAD:
        """Load the encoder that the settings name.

        Args:
            config: The settings.
            device: A torch device.
            weights: Already loaded ones, to be used instead of ``config.encoder``.

        Raises:
            UserError: If the weights cannot be had, or have no V-V path.
        """
        encoder, encode_texts = load_encoder(
            weights or load_weights(config.encoder), config, device
        )
        return cls(encoder.spec.settings, encoder, encode_texts)

    def learn(self, category: str, normals: Sequence[np.ndarray] = ()) -> None:
        """Embed a category's prompts and remember its normal pictures.

        Args:
            category: Its name; also chooses the prompt set.
            normals: uint8 (H, W, 3) RGB pictures; all that are given are remembered.

        Raises:
            UserError: If there are no normals although k is not 0, or some although it is 0.
        """
        if bool(normals) != bool(self.config.k):
            raise UserError(
                f"category {category!r} has {len(normals)} normal pictures and k is "
                f"{self.config.k}: give k normal pictures, or none with k: 0."
            )
        prompts = None if self.encode_texts is None else prompts_for(category, self.config.prompts)
        if prompts is None and not normals:
            raise UserError(
                f"--encoder {self.config.encoder} has no text, so k: 0 leaves nothing to score "
                "with. Give normal pictures (k: 4), or name a CLIP model."
            )
        self.categories[category] = CategoryModel(
            None if prompts is None else self.embed(prompts, self.config.sentences),
            self.remember(normals) if normals else None,
        )
        self._learnt[category] = {
            "prompts": None if prompts is None else prompts.model_dump(mode="json"),
            "normals": [hashlib.sha256(picture.tobytes()).hexdigest() for picture in normals],
        }

    def embed(self, prompts: PromptSet, sentences: Sentences) -> Tensor:
        """Embed a prompt set as t_n and t_a, (2, D) unit rows on the encoder's device."""
        assert self.encode_texts is not None  # noqa: S101
        phrases = make_phrases(prompts, sentences)
        if sentences == "defects" and isinstance(self.encode_texts, TextEncoder):
            unknown = self.encode_texts.unknown_words((*phrases.normal, *phrases.anomalous))
            _warn_of_unknown_words(prompts.category, unknown)
        return embed_prompts(
            phrases.normal,
            phrases.anomalous,
            self.encode_texts,
            templates=self.config.templates or TEMPLATES,
            center=self.config.center_text,
        ).to(self.encoder.device)

    def remember(self, normals: Sequence[np.ndarray]) -> MemoryBank:
        """Encode normal pictures, with their augmented copies, into a memory bank."""
        pixels = [
            self.encoder.prepare(copy)
            for picture in normals
            for copy in augment(picture, self.config.augment)
        ]
        return MemoryBank.build(
            self.encoder.encode(torch.stack([pixels[i] for i in indices[start:end]]))
            for indices in _by_shape(pixels)
            for start, end in _spans(len(indices))
        )

    def score(self, pictures: Sequence[np.ndarray], category: str) -> list[PictureScore]:
        """Score pictures of one category.

        Args:
            pictures: uint8 (H, W, 3) RGB, of any sizes.
            category: One that was learnt; with k = 0, any.

        Raises:
            UserError: If the category was not learnt and cannot be without pictures.
        """
        if category not in self.categories:
            self.learn(category)
        pixels = [self.encoder.prepare(picture) for picture in pictures]
        return self.score_prepared(pixels, [category] * len(pixels))

    def score_prepared(
        self, pixels: Sequence[Tensor], categories: Sequence[str]
    ) -> list[PictureScore]:
        """Score prepared pictures, each as one of its category.

        Args:
            pixels: (3, h, w) tensors that the encoder's ``prepare`` gave.
            categories: One learnt category per picture.
        """
        scores: list[PictureScore | None] = [None] * len(pixels)
        for indices in _by_shape(pixels):
            features = self.encoder.encode(torch.stack([pixels[i] for i in indices]))
            rows: dict[str, list[int]] = defaultdict(list)
            for row, i in enumerate(indices):
                rows[categories[i]].append(row)
            for category, chosen in rows.items():
                part = features if len(rows) == 1 else features.select(chosen)
                for row, score in zip(chosen, self.score_features(part, category), strict=True):
                    scores[indices[row]] = score
        return [score for score in scores if score is not None]

    def score_features(self, features: PatchFeatures, category: str) -> list[PictureScore]:
        """Score encoded pictures of one category."""
        model = self.categories[category]
        with torch.inference_mode():
            return combine(features, model, self.config)

    def describe(self) -> dict[str, Any]:
        """Return, JSON-like, all that decides the scores besides the encoder's tensors.

        Prompt sets are written out and normal pictures stand as hashes of their pixels, so that an
        edited prompt file or another picture changes a fingerprint over this.
        """
        return {
            "kead": to_json(self.config),
            "templates": list(self.config.templates or TEMPLATES),
            "categories": {name: self._learnt[name] for name in sorted(self._learnt)},
        }


def combine(
    features: PatchFeatures, model: CategoryModel, config: KeADConfig
) -> list[PictureScore]:
    """Turn features into scores and maps (eq. 2-5).

    Z = mean over layers of s(patch) (eq. 3-4), F from the memory bank (eq. 5), M = Z + F. The
    image score is s_img without a bank, (s_img + max M) / 2 with one, max M without text; with
    ``top_share`` the mean of the highest cells stands for the maximum.
    """
    terms: list[Tensor] = []
    class_scores: Tensor | None = None
    if model.text is not None:
        assert features.class_token is not None  # noqa: S101
        class_scores = anomaly_probability(features.class_token.float(), model.text)
        layers = [anomaly_probability(tokens.float(), model.text) for tokens in features.layers]
        terms.append(mean_map(layers, features.grids))
    if model.bank is not None:
        terms.append(model.bank.anomaly_map(features))
    maps = terms[0] if len(terms) == 1 else terms[0] + terms[1]
    cells = maps.flatten(1)
    highest = max(1, int((config.top_share or 0) * cells.shape[1]))
    peaks = cells.topk(highest, dim=1).values.mean(dim=1)
    if class_scores is None:
        scores = peaks
    else:
        scores = class_scores if model.bank is None else (class_scores + peaks) / 2
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


def _warn_of_unknown_words(category: str, words: Sequence[str]) -> None:
    if words:
        logger.warning(
            "the encoder has never met %d words of the prompts for %s (%s%s), which say nothing to "
            "it: name another encoder, or --kead.sentences generic.",
            len(words),
            category,
            ", ".join(words[:SHOWN_WORDS]),
            ", ..." if len(words) > SHOWN_WORDS else "",
        )


def _by_shape(pixels: Sequence[Tensor]) -> list[list[int]]:
    """Indices of the pictures that can be stacked, shape by shape."""
    found: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, picture in enumerate(pixels):
        found[tuple(picture.shape)].append(i)
    return list(found.values())


def _spans(count: int) -> list[tuple[int, int]]:
    return [(start, start + REFERENCE_BATCH) for start in range(0, count, REFERENCE_BATCH)]
