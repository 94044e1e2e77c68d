"""KeAD: anomaly maps from a few normal pictures and words, without training.

arXiv 2509.18919 (AGSSP), section 4.1.1.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from millsight.platform.errors import UserError
from millsight.platform.fingerprints import to_json
from millsight.platform.weights import LoadedWeights, load_weights
from millsight.pretraining.kead.clip_encoder import TextEncoder
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.encoders import Encoder
from millsight.pretraining.kead.features import PatchFeatures
from millsight.pretraining.kead.loading import load_encoder
from millsight.pretraining.kead.memory_bank import MemoryBank
from millsight.pretraining.kead.prompt_sets import PromptSet, Sentences, make_phrases, prompts_for
from millsight.pretraining.kead.references import augment
from millsight.pretraining.kead.scoring import (
    CategoryModel,
    PictureScore,
    combine,
    with_unlabelled,
)
from millsight.pretraining.kead.text import (
    TEMPLATES,
    EncodeTexts,
    embed_prompts,
)
from millsight.pretraining.kead.unlabelled import Identity, UnlabelledPictures

logger = logging.getLogger(__name__)

REFERENCE_BATCH = 8
SHOWN_WORDS = 8


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

    def learn(
        self,
        category: str,
        normals: Sequence[np.ndarray] = (),
        unlabelled: Iterable[tuple[Identity, np.ndarray]] = (),
    ) -> None:
        """Embed a category's prompts, remember its normal pictures and its unlabelled ones.

        Args:
            category: Its name; also chooses the prompt set.
            normals: uint8 (H, W, 3) RGB pictures; all that are given are remembered.
            unlabelled: Likewise, each with its identity, in any order; opened one by one.

        Raises:
            UserError: If there are no normals although k is not 0, or some although it is 0;
                likewise for ``unlabelled``; if unlabelled pictures show a single object.
        """
        prepared = {identity: self.encoder.prepare(picture) for identity, picture in unlabelled}
        self._require_unlabelled(category, prepared)
        if bool(normals) != bool(self.config.k):
            raise UserError(
                f"category {category!r} has {len(normals)} normal pictures and k is "
                f"{self.config.k}: give k normal pictures, or none with k: 0."
            )
        prompts = None if self.encode_texts is None else prompts_for(category, self.config.prompts)
        if prompts is None and not normals and not prepared:
            raise UserError(
                f"--encoder {self.config.encoder} has no text, so k: 0 leaves nothing to score "
                "with. Give normal pictures (k: 4) or unlabelled ones (unlabelled: 50), or name a "
                "CLIP model."
            )
        self.categories[category] = with_unlabelled(
            CategoryModel(
                None if prompts is None else self.embed(prompts, self.config.sentences),
                self.remember(normals) if normals else None,
            ),
            self.survey(prepared) if prepared else None,
        )
        self._learnt[category] = {
            "prompts": None if prompts is None else prompts.model_dump(mode="json"),
            "normals": [hashlib.sha256(picture.tobytes()).hexdigest() for picture in normals],
            "unlabelled": [[item.content, item.object] for item in sorted(prepared)],
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
        return MemoryBank.build(features for _, features in self.encode_all(pixels))

    def survey(self, prepared: Mapping[Identity, Tensor]) -> UnlabelledPictures:
        """Encode unlabelled pictures that ``prepare`` gave; their order changes nothing."""
        identities = sorted(prepared)
        found: dict[Identity, PatchFeatures] = {}
        for indices, features in self.encode_all([prepared[item] for item in identities]):
            for row, i in enumerate(indices):
                found[identities[i]] = features.select([row])
        return UnlabelledPictures.build({item: found[item] for item in identities})

    def encode_all(self, pixels: Sequence[Tensor]) -> Iterator[tuple[list[int], PatchFeatures]]:
        """Encode prepared pictures of any shapes.

        Yields:
            The places in ``pixels`` of the pictures of one batch, and their features.
        """
        for indices in _by_shape(pixels):
            for start, end in _spans(len(indices)):
                part = indices[start:end]
                yield part, self.encoder.encode(torch.stack([pixels[i] for i in part]))

    def score(self, pictures: Sequence[np.ndarray], category: str) -> list[PictureScore]:
        """Score pictures of one category.

        Args:
            pictures: uint8 (H, W, 3) RGB, of any sizes.
            category: One that was learnt; with k = 0 and nothing unlabelled, any.

        Raises:
            UserError: If the category was not learnt and cannot be without pictures.
        """
        if category not in self.categories:
            self.learn(category)
        pixels = [self.encoder.prepare(picture) for picture in pictures]
        identities = [Identity.of_pixels(item) for item in pictures if self.config.unlabelled]
        return self.score_prepared(pixels, [category] * len(pixels), identities or None)

    def score_prepared(
        self,
        pixels: Sequence[Tensor],
        categories: Sequence[str],
        identities: Sequence[Identity] | None = None,
    ) -> list[PictureScore]:
        """Score prepared pictures, each as one of its category.

        Args:
            pixels: (3, h, w) tensors that the encoder's ``prepare`` gave.
            categories: One learnt category per picture.
            identities: One per picture, where some may be among the unlabelled pictures.
        """
        scores: list[PictureScore | None] = [None] * len(pixels)
        for indices in _by_shape(pixels):
            features = self.encoder.encode(torch.stack([pixels[i] for i in indices]))
            rows: dict[str, list[int]] = defaultdict(list)
            for row, i in enumerate(indices):
                rows[categories[i]].append(row)
            for category, chosen in rows.items():
                part = features if len(rows) == 1 else features.select(chosen)
                own = None if identities is None else [identities[indices[row]] for row in chosen]
                found = self.score_features(part, category, own)
                for row, score in zip(chosen, found, strict=True):
                    scores[indices[row]] = score
        return [score for score in scores if score is not None]

    def score_features(
        self,
        features: PatchFeatures,
        category: str,
        identities: Sequence[Identity] | None = None,
    ) -> list[PictureScore]:
        """Score encoded pictures of one category; ``identities`` as in ``score_prepared``."""
        model = self.categories[category]
        with torch.inference_mode():
            return combine(features, model, self.config, identities)

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

    def _require_unlabelled(self, category: str, given: Mapping[Identity, Tensor]) -> None:
        wanted = self.config.unlabelled
        if bool(given) != bool(wanted):
            raise UserError(
                f"category {category!r} has {len(given)} unlabelled pictures and unlabelled is "
                f"{wanted}: give some, or none with unlabelled: 0."
            )
        if given and len({item.object for item in given}) == 1:
            raise UserError(
                f"category {category!r}: all unlabelled pictures show one object, and a picture is "
                "compared with other objects only. Give pictures of more, or set unlabelled: 0."
            )


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
