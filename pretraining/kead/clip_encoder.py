"""CLIP from open_clip: patch tokens beside a class token, and text in the same space."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from millsight.platform.weights import LoadedWeights, build_model
from millsight.platform.weights.building import construct
from millsight.pretraining.kead.encoders import Encoder
from millsight.pretraining.kead.features import PatchFeatures
from millsight.pretraining.kead.vv_attention import VVVisionTransformer, require_supported

POSITIONS = "visual.positional_embedding"
TEXT_BATCH = 256


class ClipEncoder(Encoder):
    """The vision tower of an open_clip model with its V-V path; see ``VVVisionTransformer``."""

    def build(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        """Build the vision tower alone: the text tower's work is done before."""
        settings = self.spec.settings
        model = _skeleton(self.spec.weights, settings.image_size)
        model.visual.load_state_dict(dict(tensors), strict=True, assign=True)
        self._tower = VVVisionTransformer(
            model.visual,
            layers=settings.layers,
            attention=settings.attention,
            compat=settings.compat,
        )
        tower: nn.Module = model.visual
        return tower

    def forward(self, pixels: Tensor) -> PatchFeatures:
        """Encode (B, 3, h, w) normalised pictures on the encoder's device."""
        features: PatchFeatures = self._tower(pixels)
        return features


def vision_tensors(weights: LoadedWeights, image_size: int | None) -> dict[str, Tensor]:
    """Take the vision tower's tensors, its position embeddings resampled to ``image_size``.

    Raises:
        UserError: If the tower is of a kind that has no V-V path.
    """
    from open_clip.model import resize_pos_embed

    model = _skeleton(weights, image_size)
    tensors = dict(weights.state_dict)
    if image_size is not None:
        resize_pos_embed(tensors, model)
    return {
        name.removeprefix("visual."): tensor
        for name, tensor in tensors.items()
        if name.startswith("visual.")
    }


class TextEncoder:
    """The text tower of an open_clip model, from T sentences to their (T, D) float32 embeddings.

    Sentences longer than the model's context are cut at its end, as open_clip does.

    Args:
        weights: Of an open_clip model.
    """

    def __init__(self, weights: LoadedWeights) -> None:
        from open_clip import tokenizer

        self._model: Any = build_model(weights)
        text = weights.config["model_cfg"]["text_cfg"]
        length = text.get("context_length", 77)
        if text.get("hf_tokenizer_name"):
            name = text["hf_tokenizer_name"]
            self._tokenize: Any = tokenizer.HFTokenizer(name, context_length=length)
        else:
            self._tokenize = tokenizer.SimpleTokenizer(context_length=length)

    @torch.inference_mode()
    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """Embed sentences, not normalised."""
        chunks = [
            list(sentences[start : start + TEXT_BATCH])
            for start in range(0, len(sentences), TEXT_BATCH)
        ]
        embedded = [self._model.encode_text(self._tokenize(chunk)).float() for chunk in chunks]
        return torch.cat(embedded)

    def unknown_words(self, sentences: Sequence[str]) -> list[str]:
        """Name the words that the model has never met: all their tokens are zero vectors.

        A small model's training leaves them so (``micro_clip.train.Training.start``); a published
        model has none.
        """
        table = getattr(self._model, "token_embedding", None)
        if table is None:
            return []
        words = sorted({word for text in sentences for word in re.findall(r"[a-z]+", text.lower())})
        tokens = self._tokenize(words)[:, 1:]
        met = table.weight.any(dim=1)
        # The end of a text has the highest id; what follows is padding.
        own = torch.arange(tokens.shape[1]) < tokens.argmax(dim=1, keepdim=True)
        known = (met[tokens] & own).any(dim=1).tolist()
        return [word for word, is_known in zip(words, known, strict=True) if not is_known]


def _skeleton(weights: LoadedWeights, image_size: int | None) -> Any:
    """Build the model without memory for its tensors; refuse one without a V-V path."""
    config = deepcopy(dict(weights.config))
    if image_size is not None:
        config["model_cfg"]["vision_cfg"]["image_size"] = image_size
    with torch.device("meta"):
        model: Any = construct(weights.library, weights.architecture, config)
    require_supported(model.visual)
    return model
