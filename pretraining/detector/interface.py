"""What training, evaluation and export ask of a detector, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from millsight.platform.weights.carry_over import CarryOver, carry_over

MAX_DETECTIONS = 100


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a ``(3, H, W)`` picture to another height and width, ``(1, 3, h, w)``."""
    if tuple(picture.shape[-2:]) == size:
        # ONNX's exporter knows no antialiasing, and there is nothing to do.
        return picture[None]
    return F.interpolate(picture[None], size, mode="bilinear", antialias=True, align_corners=False)


class DetectionBatch(NamedTuple):
    """Pictures with their true boxes; a picture without boxes teaches that nothing is there.

    A tuple, which Lightning moves to the accelerator.

    Attributes:
        pictures: B tensors ``(3, H, W)`` float32, RGB in [0, 1], each of its own size.
        boxes: B tensors ``(N, 4)`` float32 as ``(x0, y0, x1, y1)``, pixels of that picture, x right
            and y down; N may be 0.
        labels: B tensors ``(N,)`` int64, from 0.
    """

    pictures: list[Tensor]
    boxes: list[Tensor]
    labels: list[Tensor]


class Detections(NamedTuple):
    """What was found in one picture, the surest first, at most 100.

    Attributes:
        boxes: ``(D, 4)`` float32 as ``(x0, y0, x1, y1)``, pixels of the picture that was given.
        labels: ``(D,)`` int64, from 0.
        scores: ``(D,)`` float32 in [0, 1].
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor


class Detector(nn.Module, ABC):
    """A detector on a backbone whose tensors go in and out under timm's names.

    A frozen part takes no gradient and stays in evaluation mode. Built, nothing but the parts named
    in the configuration is frozen.

    Attributes:
        n_classes: Classes it tells apart; 1 in pretraining ("anomaly").
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        # Lists of modules, not module lists: they belong to the backbone already.
        self._always_still: list[nn.Module] = []
        self._still: list[nn.Module] = []

    @property
    @abstractmethod
    def backbone(self) -> nn.Module:
        """The backbone inside."""

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width that pictures are brought to, or ``None`` if it depends on theirs."""
        return None

    @property
    def min_score(self) -> float:
        """Boxes with a lower score are not given out."""
        return 0.0

    @abstractmethod
    def losses(self, batch: DetectionBatch) -> dict[str, Tensor]:
        """Return the weighted terms of the loss by name, scalars; the loss is their sum.

        The detector must be in training mode.
        """

    @abstractmethod
    def reset_classes(self, n_classes: int) -> None:
        """Start the layers that depend on the classes anew, for another number of them."""

    @abstractmethod
    def _detect(self, pictures: Sequence[Tensor]) -> list[Detections]:
        """Run in evaluation mode, without gradients."""

    @torch.no_grad()
    def predict(self, pictures: Sequence[Tensor]) -> list[Detections]:
        """Find boxes; the mode of the detector is left as it is.

        Args:
            pictures: B tensors ``(3, H, W)`` float32, RGB in [0, 1].

        Returns:
            One entry per picture.
        """
        training = self.training
        self.eval()
        found = self._detect(pictures)
        self.train(training)
        # Under bfloat16 they come rounded, in a type that NumPy does not know.
        return [Detections(one.boxes.float(), one.labels, one.scores.float()) for one in found]

    def backbone_state(self) -> dict[str, Tensor]:
        """Return copies of the backbone's tensors, on the CPU, by timm's names.

        Layers of timm's network that the detector has no use for are absent: to save a network
        that timm loads strictly, lay these over the tensors that training started from.
        """
        state = self.backbone.state_dict()
        names = self._backbone_names()
        return {name: state[own].detach().cpu().clone() for name, own in names.items()}

    def load_backbone(self, state: Mapping[str, Tensor]) -> CarryOver:
        """Copy a backbone's tensors in.

        Args:
            state: By timm's names; heads of other tasks may be among them.

        Returns:
            The account, for printing.

        Raises:
            UserError: If a tensor of the backbone is absent or of another shape; nothing is copied.
        """
        return carry_over(self, self.backbone, self._backbone_names(), state, "--training.backbone")

    def freeze_backbone(self, frozen: bool) -> None:
        """Freeze the whole backbone, or let all of it learn but what always stays as it is."""
        modules = list(self.backbone.modules())
        self._still = modules if frozen else self._always_still
        self.backbone.requires_grad_(True)
        for module in self._still:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad = False
        self.train(self.training)

    def compile_body(self) -> None:
        """Let torch.compile make the backbone faster, in place: no tensor changes its name."""
        self.backbone.compile()

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, but frozen modules stay in evaluation mode."""
        super().train(mode)
        for module in self._still:
            module.training = False
        return self

    def _backbone_names(self) -> dict[str, str]:
        """Return the backbone's own names of its tensors by timm's names."""
        return {name: name for name in self.backbone.state_dict()}
