"""Settings of KeAD; importing this module loads no heavy library."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from millsight.platform.errors import UserError

AUGMENTATIONS = ("hflip", "vflip", "rot90", "rot180", "rot270", "darker", "brighter")

TEMPERATURE = 0.07
VISION_TOP_SHARE = 0.05


@dataclass(frozen=True)
class KeADConfig:
    """Everything that decides a KeAD score, besides the pictures.

    Attributes:
        encoder: Where the weights come from, for example ``embedded:efficientnet-lite0``,
            ``open_clip:ViT-B-16-plus-240/laion400m_e32``, ``timm:vit_small_patch14_dinov2.lvd142m``
            or ``path:``. A timm encoder has no text: the memory bank alone scores.
        k: Normal pictures per category in the memory bank; 0 scores without one.
        unlabelled: At most so many unlabelled pictures per category that patches are compared with
            too: what most of them have is normal. 0 compares with none. Another protocol than
            few-shot, because pictures of unknown label are looked at first; with k = 0 it needs no
            good picture.
        seed: Draws the k pictures from the category's normal training pictures, and the unlabelled
            ones.
        prompts: ``auto`` takes the packaged set that fits the category and, where none fits, the
            generic one with a warning; anything else is the path of a prompt file.
        sentences: ``defects`` uses the set's own sentences; ``generic`` only the states that fit
            any object (flawless, damaged, ...), for the ablation.
        templates: Photo templates around each sentence, ``{}`` where it goes; ``None`` means the
            21 published ones.
        center_text: Subtract the mean embedding of the empty templates.
        attention: ``vv``, or ``qk`` for ordinary patch tokens (ablation).
        layers: How many evenly spaced blocks, ending at the last, give patch tokens.
        augment: Turned, mirrored or relit copies of the normal pictures that join the memory bank:
            any of ``hflip``, ``vflip``, ``rot90``, ``rot180``, ``rot270``, ``darker``,
            ``brighter``.
        image_size: Side in pixels of the square that pictures are brought to, or of its area where
            the aspect is kept; ``None`` means the encoder's own.
        resize: ``squash`` to a square, or keep the ``aspect`` at the same area. ``auto`` keeps it
            for CNNs, which take any size, and squashes for transformers.
        light: ``as_is``, or ``flattened``: each picture divided by its own blurred background.
            ``auto`` flattens for vision-only encoders.
        top_share: A picture's score is the mean of this share of its map's highest cells; 0 is the
            maximum of the paper. ``None`` means 0.05 for vision-only encoders, else 0.
        compat: ``paper``, or ``official`` for the released code with its quirks.
        precision: Arithmetic of the encoder: ``fp32``, or ``fp16`` / ``bf16`` by autocast.
    """

    encoder: str = "embedded:efficientnet-lite0"
    k: int = 4
    unlabelled: int = 0
    seed: int = 0
    prompts: str = "auto"
    sentences: Literal["defects", "generic"] = "defects"
    templates: tuple[str, ...] | None = None
    center_text: bool = True
    attention: Literal["vv", "qk"] = "vv"
    layers: int = 4
    augment: tuple[str, ...] = ()
    image_size: int | None = None
    resize: Literal["auto", "squash", "aspect"] = "auto"
    light: Literal["auto", "as_is", "flattened"] = "auto"
    top_share: float | None = None
    compat: Literal["paper", "official"] = "paper"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        problems = []
        if self.k < 0:
            problems.append(f"k: {self.k} is negative; 0 scores without normal pictures")
        if self.unlabelled < 0 or self.unlabelled == 1:
            problems.append(f"unlabelled: {self.unlabelled}; 0 means none, and 2 are the fewest")
        if self.layers < 1:
            problems.append(f"layers: {self.layers}; at least 1 is needed")
        problems += [
            f"augment: {name!r} is none of {', '.join(AUGMENTATIONS)}"
            for name in self.augment
            if name not in AUGMENTATIONS
        ]
        problems += [
            f"templates: {template!r} needs one {{}}, where the sentence goes"
            for template in self.templates or ()
            if template.count("{}") != 1
        ]
        if self.compat == "official" and self.unlabelled:
            problems.append(
                f"unlabelled: {self.unlabelled}; compat: official knows normal pictures only"
            )
        if self.compat == "official" and self.precision != "fp32":
            problems.append(f"precision: {self.precision}; compat: official computes in fp32")
        if problems:
            raise UserError("\n".join(problems))

    def settled(self, *, vision_only: bool, any_size: bool) -> KeADConfig:
        """Replace every ``auto`` by what it means for an encoder, so that no default is implicit.

        Args:
            vision_only: The encoder has no text.
            any_size: It takes pictures of any shape.

        Raises:
            UserError: If the aspect is to be kept for an encoder of one size.
        """
        if self.resize == "aspect" and not any_size:
            raise UserError(
                f"resize: aspect needs a network that takes any size; {self.encoder} takes squares "
                "only: set resize: squash."
            )
        return replace(
            self,
            resize=("aspect" if any_size else "squash") if self.resize == "auto" else self.resize,
            light=("flattened" if vision_only else "as_is") if self.light == "auto" else self.light,
            top_share=VISION_TOP_SHARE * vision_only if self.top_share is None else self.top_share,
        )
