"""The pretrained backbone as files that timm and torchvision read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import timm
import torchvision
from safetensors.torch import save
from torch import Tensor

from millsight.platform import storage
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.backbone.stages import StagedBackbone

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
TORCHVISION_FILE = "torchvision.safetensors"


def export_backbone(backbone: StagedBackbone, loaded: LoadedWeights, directory: str) -> list[str]:
    """Write the network without its head.

    ``timm.create_model(architecture, num_classes=0, checkpoint_path=...)`` reads the weights
    strictly, and ``path:DIRECTORY`` is their source for every millsight command. Where torchvision
    has the same network, as for ResNets, its own names are written as well; there
    ``load_state_dict(..., strict=False)`` leaves ``fc`` as it is.

    Args:
        backbone: Trained; its head is taken off.
        loaded: What it was started from: the architecture and its settings.
        directory: Local or any fsspec address.

    Returns:
        Names of the files.
    """
    network = cast(Any, backbone.network)
    network.reset_classifier(0)
    tensors = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    config = {**loaded.config, "num_classes": 0}
    storage.write_bytes(f"{directory}/{CONFIG_FILE}", f"{json.dumps(config, indent=2)}\n".encode())
    storage.write_bytes(f"{directory}/{WEIGHTS_FILE}", save(tensors, metadata={"format": "pt"}))
    written = [CONFIG_FILE, WEIGHTS_FILE]
    renamed = torchvision_tensors(loaded.architecture, tensors)
    if renamed is not None:
        storage.write_bytes(
            f"{directory}/{TORCHVISION_FILE}", save(renamed, metadata={"format": "pt"})
        )
        written.append(TORCHVISION_FILE)
    return written


def torchvision_tensors(
    architecture: str, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    """Give timm's tensors the names of torchvision's network, if it has the same one.

    Returns:
        All tensors but the head's; ``None`` if names, shapes or order of layers differ.
    """
    name = architecture.partition(".")[0]
    if name not in torchvision.models.list_models() or name not in timm.list_models():
        return None
    own = torchvision.models.get_model(name, weights=None).state_dict()
    body = {key: value for key, value in own.items() if not key.startswith("fc.")}
    same = body.keys() == tensors.keys()
    if not same or any(body[key].shape != tensors[key].shape for key in body):
        return None
    return {key: tensors[key] for key in body}
