"""A timm network seen as stages: the upper ones learn, the lower ones stay as they are."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights, build_model

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class StagedBackbone(nn.Module):
    """A whole timm network whose last stages are looked at, and whose first are frozen.

    Frozen stages take no gradient and stay in evaluation mode, so that their running means and
    variances stay as they are, too. In a network without stages (a plain ViT) every block is one.

    Args:
        network: A timm model with ``feature_info`` and ``forward_intermediates``, or a
            ``CspDarknet``.
        mean: Of RGB pictures in [0, 1], subtracted first.
        std: Divided by, after the mean.
        trained: How many of the last stages are returned and learn (paper: two).
        freeze: Whether the others are frozen.

    Raises:
        UserError: If the network has no stages that can be looked at, or fewer than ``trained``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
        *,
        trained: int = 2,
        freeze: bool = True,
    ) -> None:
        super().__init__()
        names = _stage_names(network)
        if len(names) < trained:
            raise UserError(f"--stages {trained}: {_name(network)} has {len(names)} stages.")
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self._indices = list(range(len(names) - trained, len(names)))
        lower = names[: len(names) - trained] if freeze else []
        self._frozen = modules_until(network, lower[-1]) if lower else []
        for module in self._frozen:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad = False

    def train(self, mode: bool = True) -> StagedBackbone:
        """As ``nn.Module.train``, but frozen stages stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.training = False
        return self

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Run the network once for its task and for the stages.

        Args:
            pictures: ``(B, 3, H, W)`` float, RGB in [0, 1].

        Returns:
            What ``network.forward_head`` takes, and the last stages' ``(B, C, h, w)`` features, the
            shallowest first.
        """
        network = cast(Any, self.network)
        final, stages = network.forward_intermediates(
            (pictures - self.mean) / self.std, indices=self._indices, output_fmt="NCHW"
        )
        return final, stages


def build_backbone(
    loaded: LoadedWeights, *, trained: int = 2, freeze: bool = True
) -> StagedBackbone:
    """Build the network of loaded weights; its tensors keep their library's names.

    Raises:
        UserError: If the weights are a CLIP's, or the network has no stages.
    """
    if loaded.library != "ultralytics":
        require_timm(loaded)
    network = build_model(loaded)
    # The weights are assigned to it, not copied, and training would change what was loaded.
    network.load_state_dict(
        {name: tensor.clone() for name, tensor in network.state_dict().items()}, assign=True
    )
    return StagedBackbone(network, loaded.mean, loaded.std, trained=trained, freeze=freeze)


def require_timm(loaded: LoadedWeights) -> None:
    """Refuse weights of another library's networks.

    Raises:
        UserError: If they are not timm's.
    """
    if loaded.library != "timm":
        raise UserError(
            f"--training.backbone {loaded.source}: a network of timm's is wanted, this is one of "
            f"{loaded.library}'s; name timm:resnet50, embedded:efficientnet-lite0 or a file."
        )


def modules_until(network: nn.Module, stage: str) -> list[nn.Module]:
    """Return the modules up to the end of a stage, in the order in which timm defines them.

    Args:
        network: timm's network, or its ``features_only`` form.
        stage: Name of the module that the stage ends with.
    """
    named = list(network.named_modules())
    # timm flattens nested stages when it extracts features: `stages.0.x` becomes `stages_0.x`.
    start = f"{stage}_".replace(".", "_")
    ends = [i for i, (n, _) in enumerate(named) if f"{n}_".replace(".", "_").startswith(start)]
    # A container such as `blocks` holds later stages as well, but no tensors of its own.
    return [module for _, module in named[: ends[-1] + 1]]


def _stage_names(network: nn.Module) -> list[str]:
    found = getattr(network, "feature_info", None)
    if not found or not hasattr(network, "forward_intermediates"):
        raise UserError(
            f"--training.backbone: {_name(network)} has no stages that can be looked at."
        )
    return [str(stage["module"]) for stage in found]


def _name(network: nn.Module) -> str:
    return type(network).__name__
