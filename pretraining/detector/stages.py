"""Which stages of a timm network a detector looks at, and which of its modules stay still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.backbone.stages import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    modules_until,
    require_timm,
)


@dataclass(frozen=True)
class BackboneChoice:
    """A timm network for a detector; its weights come later, by ``Detector.load_backbone``.

    Attributes:
        architecture: timm's name.
        mean: Of RGB pictures in [0, 1], subtracted first.
        std: Divided by, after the mean.
        frozen_stages: How many of the lowest stages never learn, the stem counted where timm does;
            2 is a ResNet's stem and first stage.
        frozen_norms: Whether batch norms keep the statistics and scales of the weights, as is usual
            for the few pictures of a detector's batch; False where training starts from nothing.
    """

    architecture: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    frozen_stages: int = 2
    frozen_norms: bool = True

    @classmethod
    def of(cls, loaded: LoadedWeights) -> BackboneChoice:
        """Take architecture and normalisation from weights.

        Raises:
            UserError: If they are not timm's.
        """
        require_timm(loaded)
        return cls(loaded.architecture, loaded.mean, loaded.std)


@dataclass(frozen=True)
class Stage:
    """One of the network's stages.

    Attributes:
        index: Among all stages.
        module: Name of the module it ends with.
        channels: Of its features.
        stride: Pixels of the picture between two of its features.
    """

    index: int
    module: str
    channels: int
    stride: int


def last_stages(network: nn.Module, n_stages: int) -> list[Stage]:
    """Return the last stages, the finest first; each must halve the one before.

    Raises:
        UserError: If the network has no such stages.
    """
    info = list(getattr(network, "feature_info", None) or [])
    stages = [
        Stage(i, str(s["module"]), int(s["num_chs"]), int(s["reduction"]))
        for i, s in enumerate(info)
    ][-n_stages:]
    strides = [stage.stride for stage in stages]
    if strides != [2 ** (i + 6 - n_stages) for i in range(n_stages)]:
        raise UserError(
            f"--training.backbone: {type(network).__name__} has stages at strides {strides}; a "
            f"detector needs {n_stages} that halve down to a stride of 32, as ResNet, "
            "EfficientNet, ConvNeXt or Swin have."
        )
    return stages


def build_network(architecture: str) -> nn.Module:
    """Build timm's network with random weights, without a head, for pictures of any size.

    Raises:
        UserError: If timm does not know it.
    """
    if not timm.is_model(architecture):
        raise UserError(f"--training.backbone: timm knows no network called {architecture!r}.")
    any_size: dict[str, Any] = {}
    if architecture.startswith(("swin_", "swinv2_")) and "_cr_" not in architecture:
        any_size = {"strict_img_size": False}
    return timm.create_model(architecture, num_classes=0, **any_size)


def network_names(architecture: str) -> list[str]:
    """Return the names of the tensors of timm's whole network, without building them."""
    with torch.device("meta"):
        return list(build_network(architecture).state_dict())


def still_modules(network: nn.Module, choice: BackboneChoice) -> list[nn.Module]:
    """Return the modules that never learn: lowest stages, batch norms, and what is not looked at.

    Args:
        network: timm's network, or its ``features_only`` form.
        choice: How many stages, and whether the norms.
    """
    info = cast(Any, network).feature_info
    ends = [str(stage["module"]) for stage in getattr(info, "info", info)]
    modules = list(network.modules())
    still = modules[len(modules_until(network, ends[-1])) :]
    if choice.frozen_stages:
        still += modules_until(network, ends[choice.frozen_stages - 1])
    if choice.frozen_norms:
        still += [module for module in modules if isinstance(module, _BatchNorm)]
    return still
