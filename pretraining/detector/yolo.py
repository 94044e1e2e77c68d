"""YOLOv8 through ultralytics, which is licensed under AGPL-3.0 and therefore an extra."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import batched_nms, box_convert

from millsight.platform.errors import UserError
from millsight.platform.weights.csp_darknet import LICENCE, N_LAYERS, require_ultralytics
from millsight.pretraining.detector.interface import (
    MAX_DETECTIONS,
    DetectionBatch,
    Detections,
    Detector,
    resize,
)
from millsight.pretraining.detector.stages import BackboneChoice
from millsight.pretraining.detector.yolo_network import (
    describe,
    stage_ends,
    timm_names,
)

# ultralytics' grey around pictures that are not square.
GREY = 114 / 255
CANDIDATES = 1000
Scale = Literal["n", "s", "m", "l", "x"]


@dataclass(frozen=True)
class YoloConfig:
    """Settings.

    Attributes:
        scale: Size of neck and head, and of CSPDarknet.
        image_size: Pixels that a picture's longer side is brought to; a multiple of 32.
        min_score: Boxes below it are not given out.
        overlap: Of two boxes of a class with a larger IoU, the less sure one is dropped.
    """

    scale: Scale = "s"
    image_size: int = 640
    min_score: float = 0.001
    overlap: float = 0.7


class YoloDetector(Detector):
    """YOLOv8 on its own CSPDarknet, on a ResNet or on a Swin transformer.

    CSPDarknet is ultralytics' first ten layers, by their names within those: ``0.conv.weight``;
    timm has no such network. The others have timm's names. A fixed layer normalises the pictures
    with the mean and deviation of their weights, so that a saved file takes them as they are.

    Args:
        choice: The backbone, with random weights; ``None`` for CSPDarknet.
        n_classes: Classes.
        config: Settings.

    Raises:
        UserError: If ultralytics is not installed, or cannot be built on the backbone.
    """

    def __init__(
        self,
        choice: BackboneChoice | None = None,
        n_classes: int = 1,
        config: YoloConfig | None = None,
    ) -> None:
        super().__init__(n_classes)
        self.config = config or YoloConfig()
        if self.config.image_size % 32:
            raise UserError("--training.image_size: a multiple of 32.")
        self.choice = choice
        self.model = _build(describe(choice, self.config.scale, n_classes), n_classes)
        layers = self.model.model
        # In a list: the modules belong to the model already.
        self._backbone = [layers[:N_LAYERS] if choice is None else layers[1].m]
        if choice is not None:
            self._normalise(choice)
            self._always_still = self._still_modules(choice)
        self.freeze_backbone(False)

    @property
    def backbone(self) -> nn.Module:
        """CSPDarknet, or torchvision's network as a sequence of modules."""
        return cast(nn.Module, self._backbone[0])

    @property
    def input_size(self) -> tuple[int, int]:
        """Pictures are brought to one square, by scale and grey."""
        return self.config.image_size, self.config.image_size

    @property
    def min_score(self) -> float:
        """As configured."""
        return self.config.min_score

    def losses(self, batch: DetectionBatch) -> dict[str, Tensor]:
        """Return box, class and distribution losses (``v8DetectionLoss``), per picture."""
        from ultralytics.utils.loss import v8DetectionLoss

        scales = [self._scale(picture) for picture in batch.pictures]
        scaled = [boxes * scale for boxes, scale in zip(batch.boxes, scales, strict=True)]
        counts = torch.tensor([len(boxes) for boxes in scaled])
        targets = {
            "batch_idx": torch.arange(len(scaled)).repeat_interleave(counts).to(scaled[0]),
            "cls": torch.cat(batch.labels).to(scaled[0])[:, None],
            "bboxes": box_convert(torch.cat(scaled), "xyxy", "cxcywh") / self.config.image_size,
        }
        found = self.model(self._prepare(batch.pictures))
        # Made for every step: it holds the device and the number of classes.
        terms, _ = v8DetectionLoss(self.model)(found, targets)
        box, classes, distribution = terms / len(batch.pictures)
        return {"box": box, "class": classes, "distribution": distribution}

    def reset_classes(self, n_classes: int) -> None:
        """Start the last class convolution of every level anew."""
        head = self.model.model[-1]
        for branch, stride in zip(head.cv3, head.stride.tolist(), strict=True):
            fresh = nn.Conv2d(branch[-1].in_channels, n_classes, 1).to(branch[-1].weight)
            nn.init.constant_(
                cast(Tensor, fresh.bias), math.log(5 / n_classes / (640 / stride) ** 2)
            )
            branch[-1] = fresh
        head.nc, head.no = n_classes, n_classes + 4 * head.reg_max
        self.model.yaml["nc"] = n_classes
        self.model.names = {i: str(i) for i in range(n_classes)}
        self.n_classes = n_classes

    def save(self, file: str, class_names: Sequence[str]) -> None:
        """Write a ``.pt`` file that ``ultralytics.YOLO`` opens without millsight.

        Args:
            file: Local.
            class_names: Names of the classes, by label.
        """
        model = copy.deepcopy(self.model).cpu().float().eval().requires_grad_(False)
        model.names = dict(enumerate(class_names))
        settings = {**vars(model.args), "imgsz": self.config.image_size}
        model.args = settings
        torch.save({"model": model, "train_args": settings, "license": LICENCE}, file)

    def compile_body(self) -> None:
        """As for every detector; neck and head are in one sequence with the backbone."""
        self.model.compile()

    def _detect(self, pictures: Sequence[Tensor]) -> list[Detections]:
        found, _ = self.model(self._prepare(pictures))
        boxes = box_convert(found[:, :4].transpose(1, 2), "cxcywh", "xyxy")
        scores = found[:, 4:].transpose(1, 2)
        return [self._select(boxes[i], scores[i], one) for i, one in enumerate(pictures)]

    def _select(self, boxes: Tensor, scores: Tensor, picture: Tensor) -> Detections:
        """Keep the surest boxes that do not overlap, in the picture's own pixels."""
        flat = scores.flatten()
        best, places = flat.topk(min(CANDIDATES, flat.numel()))
        places, best = places[best >= self.config.min_score], best[best >= self.config.min_score]
        anchors, labels = places // self.n_classes, places % self.n_classes
        keep = batched_nms(boxes[anchors], best, labels, self.config.overlap)[:MAX_DETECTIONS]
        height, width = picture.shape[-2:]
        limit = boxes.new_tensor([width, height, width, height])
        own = (boxes[anchors[keep]] / self._scale(picture)).clamp(min=0)
        return Detections(own.minimum(limit), labels[keep], best[keep])

    def _scale(self, picture: Tensor) -> float:
        # Edges are tensors where ONNX's exporter traces.
        return self.config.image_size / max(int(edge) for edge in picture.shape[-2:])

    def _prepare(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return ``(B, 3, S, S)``: scaled to the longer side, grey on the right and below."""
        side = self.config.image_size
        same = []
        for picture in pictures:
            scale = self._scale(picture)
            height, width = (max(1, round(int(edge) * scale)) for edge in picture.shape[-2:])
            small = resize(picture, (height, width))
            same.append(F.pad(small, (0, side - width, 0, side - height), value=GREY))
        return torch.cat(same)

    def _normalise(self, choice: BackboneChoice) -> None:
        first = self.model.model[0]
        mean, std = torch.tensor(choice.mean), torch.tensor(choice.std)
        with torch.no_grad():
            first.weight.copy_(torch.diag(1 / std)[:, :, None, None])
            first.bias.copy_(-mean / std)
        first.requires_grad_(False)
        for module in self.backbone.modules():
            # ultralytics gives all batch norms its own epsilon; these weights had another.
            if isinstance(module, _BatchNorm):
                module.eps, module.momentum = 1e-5, 0.1

    def _still_modules(self, choice: BackboneChoice) -> list[nn.Module]:
        layers = list(self.backbone.children())
        n = stage_ends(choice.architecture)[choice.frozen_stages - 1] if choice.frozen_stages else 0
        still = [module for layer in layers[:n] for module in layer.modules()]
        if choice.frozen_norms:
            still += [m for m in self.backbone.modules() if isinstance(m, _BatchNorm)]
        return still

    def _backbone_names(self) -> dict[str, str]:
        own = self.backbone.state_dict()
        if self.choice is None:
            return {name: name for name in own}
        return timm_names(self.choice.architecture, own)


def _build(description: dict[str, Any], n_classes: int) -> Any:
    """Let ultralytics build the network."""
    require_ultralytics()
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    model = DetectionModel(description, nc=n_classes, verbose=False)
    model.args, model.task = get_cfg(), "detect"
    return model
