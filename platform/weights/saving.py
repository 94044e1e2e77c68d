"""A network as a directory that its library, torchvision and every millsight command read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from millsight.platform import storage
from millsight.platform.weights.loaded import LoadedWeights

if TYPE_CHECKING:
    from torch import Tensor

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
TORCHVISION_FILE = "torchvision.safetensors"


def save_weights(tensors: Mapping[str, Tensor], start: LoadedWeights, directory: str) -> list[str]:
    """Write a network without its head.

    ``path:DIRECTORY`` is their source for every millsight command; a timm network is also read by
    ``timm.create_model(architecture, num_classes=0, checkpoint_path=...)``, strictly. Where
    torchvision has the same network, as for ResNets, its own names are written as well; there
    ``load_state_dict(..., strict=False)`` leaves ``fc`` as it is.

    Args:
        tensors: All of the network built with ``num_classes=0``, by its library's names.
        start: What training started from: the architecture and its settings.
        directory: Local or any fsspec address.

    Returns:
        Names of the files.
    """
    from safetensors.torch import save

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    config = json.dumps({**start.config, "num_classes": 0}, indent=2)
    files = {
        CONFIG_FILE: f"{config}\n".encode(),
        WEIGHTS_FILE: save(whole, metadata={"format": "pt"}),
    }
    renamed = torchvision_tensors(start.architecture, whole)
    if renamed is not None:
        files[TORCHVISION_FILE] = save(renamed, metadata={"format": "pt"})
    for name, content in files.items():
        storage.write_bytes(f"{directory}/{name}", content)
    return list(files)


def torchvision_tensors(
    architecture: str, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    """Give timm's tensors the names of torchvision's network, if it has the same one.

    Returns:
        All tensors but the head's; ``None`` if names, shapes or order of layers differ.
    """
    import timm
    import torchvision

    name = architecture.partition(".")[0]
    if name not in torchvision.models.list_models() or name not in timm.list_models():
        return None
    own = torchvision.models.get_model(name, weights=None).state_dict()
    body = {key: value for key, value in own.items() if not key.startswith("fc.")}
    same = body.keys() == tensors.keys()
    if not same or any(body[key].shape != tensors[key].shape for key in body):
        return None
    return {key: tensors[key] for key in body}
