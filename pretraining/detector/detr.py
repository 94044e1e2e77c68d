"""Detection transformers with denoising, from transformers, on a timm backbone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import box_convert
from transformers import AutoImageProcessor, AutoModelForObjectDetection, RTDetrImageProcessor

from millsight.platform.errors import UserError
from millsight.platform.weights.carry_over import unflattened
from millsight.pretraining.detector.detr_config import PRIOR, DetrConfig, library_config
from millsight.pretraining.detector.interface import (
    MAX_DETECTIONS,
    DetectionBatch,
    Detections,
    Detector,
    resize,
)
from millsight.pretraining.detector.stages import BackboneChoice, network_names, still_modules

# Attributes under which transformers keeps the layers that depend on the classes.
CLASS_LAYERS = ("class_embed", "enc_score_head", "denoising_class_embed")
# What transformers raises on files that were damaged or tampered with.
FOREIGN_ERRORS = (
    AttributeError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    SafetensorError,
)
TERMS = {"vfl": "class", "bbox": "box", "giou": "giou", "fgl": "fine_box", "ddf": "distill_box"}


class DetrDetector(Detector):
    """RT-DETRv2 or D-FINE; pictures are brought to one square size.

    Args:
        model: transformers' model for object detection, on a ``TimmBackbone``.
        image_size: Height and width, pixels, that pictures are brought to.
        choice: The backbone's normalisation, and what of it never learns.
    """

    def __init__(self, model: nn.Module, image_size: int, choice: BackboneChoice) -> None:
        super().__init__(int(cast(Any, model).config.num_labels))
        self.model = model
        self.image_size = image_size
        self.choice = choice
        self.register_buffer("mean", torch.tensor(choice.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(choice.std).view(3, 1, 1), persistent=False)
        self._always_still = still_modules(self.backbone, choice)
        self.freeze_backbone(False)

    @classmethod
    def build(
        cls, choice: BackboneChoice, n_classes: int = 1, config: DetrConfig | None = None
    ) -> Self:
        """Build with random weights; nothing is downloaded.

        Raises:
            UserError: If transformers cannot use the backbone.
        """
        config = config or DetrConfig()
        settings = library_config(choice, n_classes, config)
        model = cast(Any, AutoModelForObjectDetection).from_config(settings)
        detector = cls(model, config.image_size, choice)
        detector._start_norms()
        return detector

    @property
    def backbone(self) -> nn.Module:
        """The network in timm's ``features_only`` form."""
        found = cast(Any, self.model).model.backbone.model
        if not hasattr(found, "_backbone"):
            raise UserError(
                f"--weights: the detector's backbone is transformers' {type(found).__name__}; only "
                "detectors on timm backbones can be trained here."
            )
        return cast(nn.Module, found._backbone)

    @property
    def input_size(self) -> tuple[int, int]:
        """Pictures are stretched to one square."""
        return self.image_size, self.image_size

    def losses(self, batch: DetectionBatch) -> dict[str, Tensor]:
        """Return class, box and overlap losses over all decoder layers, and those of denoising."""
        labels = [
            {"class_labels": labels, "boxes": _relative(boxes, picture)}
            for picture, boxes, labels in zip(*batch, strict=True)
        ]
        found = self.model(pixel_values=self._prepare(batch.pictures), labels=labels)
        terms: dict[str, Tensor] = {}
        for name, value in found.loss_dict.items():
            kind = name.removeprefix("loss_").partition("_")[0]
            term = "denoising" if "_dn_" in name else TERMS[kind]
            terms[term] = terms.get(term, 0) + value
        if "denoising" not in terms:
            terms["denoising"] = self._no_denoising()
        return terms

    def reset_classes(self, n_classes: int) -> None:
        """Start the class layers of encoder and decoder and the denoising embedding anew."""
        fresh: dict[int, nn.Parameter] = {}
        for parent in list(self.model.modules()):
            for name, layer in list(parent.named_children()):
                if name in CLASS_LAYERS:
                    layers = layer if isinstance(layer, nn.ModuleList) else [layer]
                    for one in layers:
                        _restart(cast("nn.Linear | nn.Embedding", one), n_classes, fresh)
        cast(Any, self.model).config.num_labels = n_classes
        self.n_classes = n_classes

    def save(self, folder: str, class_names: Sequence[str]) -> None:
        """Write a folder that transformers' ``from_pretrained`` reads, picture processor included.

        Args:
            folder: Local.
            class_names: Names of the classes, by label.
        """
        config = cast(Any, self.model).config
        config.id2label = dict(enumerate(class_names))
        config.label2id = {name: i for i, name in enumerate(class_names)}
        cast(Any, self.model).save_pretrained(folder)
        RTDetrImageProcessor(
            size={"height": self.image_size, "width": self.image_size},
            do_normalize=True,
            image_mean=list(self.choice.mean),
            image_std=list(self.choice.std),
        ).save_pretrained(folder)

    @classmethod
    def load(cls, folder: str, choice: BackboneChoice | None = None) -> Self:
        """Read a folder that ``save`` or ``save_pretrained`` wrote; nothing is downloaded.

        Args:
            folder: Local.
            choice: What of the backbone never learns; by default as in ``BackboneChoice``, with the
                normalisation of the folder's picture processor.

        Raises:
            UserError: If it cannot be read, lacks weights, or its backbone is not timm's or not
                the chosen one.
        """
        model, processor = _read(folder)
        architecture = str(getattr(model.config.backbone_config, "backbone", ""))
        if choice is None:
            plain = not processor.do_normalize
            choice = BackboneChoice(
                architecture,
                (0.0, 0.0, 0.0) if plain else tuple(processor.image_mean),
                (1.0, 1.0, 1.0) if plain else tuple(processor.image_std),
            )
        elif choice.architecture != architecture:
            raise UserError(
                f"--weights {folder}: config.json names the backbone {architecture!r}, "
                f"detector.json {choice.architecture!r}; write the folder again."
            )
        return cls(model, int(processor.size["height"]), choice)

    def _detect(self, pictures: Sequence[Tensor]) -> list[Detections]:
        found = self.model(pixel_values=self._prepare(pictures))
        probabilities = found.logits.sigmoid()
        n = min(MAX_DETECTIONS, probabilities[0].numel())
        scores, places = probabilities.flatten(1).topk(n)
        queries, labels = places // self.n_classes, places % self.n_classes
        boxes = found.pred_boxes.gather(1, queries[..., None].expand(-1, -1, 4))
        return [
            Detections(_absolute(boxes[i], picture), labels[i], scores[i])
            for i, picture in enumerate(pictures)
        ]

    def _prepare(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return ``(B, 3, S, S)``, resized and normalised."""
        size = (self.image_size, self.image_size)
        same = [resize(picture, size) for picture in pictures]
        return (torch.cat(same) - cast(Tensor, self.mean)) / cast(Tensor, self.std)

    def _no_denoising(self) -> Tensor:
        # Workers that train together need a gradient for every parameter, be it zero.
        embedding = cast(Any, self.model).model.denoising_class_embed
        return cast(Tensor, embedding.weight.sum() * 0)

    def _start_norms(self) -> None:
        # transformers draws the scales of RT-DETR's batch norms from N(0, 0.01), which hardly
        # lets anything through; the authors' code starts them at one.
        inside = set(self.backbone.modules())
        for module in self.model.modules():
            if isinstance(module, _BatchNorm) and module not in inside:
                nn.init.ones_(module.weight)

    def _backbone_names(self) -> dict[str, str]:
        return unflattened(self.backbone.state_dict(), network_names(self.choice.architecture))


def _read(folder: str) -> tuple[Any, Any]:
    """Read transformers' model and picture processor, running no code that lies in the folder."""
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        model, account = cast(Any, AutoModelForObjectDetection).from_pretrained(
            folder, output_loading_info=True, use_safetensors=True, **local
        )
        processor = cast(Any, AutoImageProcessor).from_pretrained(folder, **local)
    except FOREIGN_ERRORS as error:
        raise UserError(f"--weights {folder}: transformers cannot read it ({error}).") from None
    # transformers makes up what is absent.
    missing = sorted(account["missing_keys"])
    if missing:
        raise UserError(f"--weights {folder}: lacks {len(missing)} tensors, such as {missing[0]}.")
    with torch.device("meta"):
        fresh = cast(Any, AutoModelForObjectDetection).from_config(model.config)
    # D-FINE's constants are parameters that do not learn, which reading forgets.
    for name, parameter in fresh.named_parameters():
        model.get_parameter(name).requires_grad = parameter.requires_grad
    return model, processor


def _restart(
    layer: nn.Linear | nn.Embedding, n_classes: int, fresh: dict[int, nn.Parameter]
) -> None:
    """Give a layer new parameters; parameters that layers shared are shared again."""
    for name, old in list(layer.named_parameters(recurse=False)):
        if id(old) not in fresh:
            rows = n_classes + 1 if isinstance(layer, nn.Embedding) else n_classes
            new = old.new_empty((rows, *old.shape[1:]))
            if name == "bias":
                nn.init.constant_(new, -math.log((1 - PRIOR) / PRIOR))
            else:
                nn.init.xavier_uniform_(new)
            fresh[id(old)] = nn.Parameter(new)
        setattr(layer, name, fresh[id(old)])
    if isinstance(layer, nn.Embedding):
        layer.num_embeddings, layer.padding_idx = n_classes + 1, n_classes
    else:
        layer.out_features = n_classes


def _relative(boxes: Tensor, picture: Tensor) -> Tensor:
    """Pixels ``(x0, y0, x1, y1)`` to shares ``(centre x, centre y, width, height)``."""
    height, width = picture.shape[-2:]
    shares = boxes / boxes.new_tensor([width, height, width, height])
    return cast(Tensor, box_convert(shares, "xyxy", "cxcywh"))


def _absolute(boxes: Tensor, picture: Tensor) -> Tensor:
    height, width = picture.shape[-2:]
    corners = cast(Tensor, box_convert(boxes, "cxcywh", "xyxy")).clamp(0, 1)
    return corners * corners.new_tensor([width, height, width, height])
