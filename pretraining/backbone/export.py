"""The pretrained backbone as files that timm and torchvision read."""

from __future__ import annotations

from typing import Any, cast

from millsight.platform.weights import LoadedWeights
from millsight.platform.weights.saving import save_weights
from millsight.pretraining.backbone.stages import StagedBackbone


def export_backbone(backbone: StagedBackbone, loaded: LoadedWeights, directory: str) -> list[str]:
    """Write the network without its head; see ``save_weights``.

    Args:
        backbone: Trained; its head is taken off.
        loaded: What it was started from: the architecture and its settings.
        directory: Local or any fsspec address.

    Returns:
        Names of the files.
    """
    network = cast(Any, backbone.network)
    network.reset_classifier(0)
    return save_weights(network.state_dict(), loaded, directory)
