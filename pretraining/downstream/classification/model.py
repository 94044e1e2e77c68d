"""The classifier: a timm network with a head for the labelled classes.

Shapes: B pictures, C classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from millsight.platform import storage
from millsight.platform.weights import LoadedWeights, build_model, load_weights
from millsight.platform.weights.saving import CONFIG_FILE, WEIGHTS_FILE, save_weights
from millsight.pretraining.backbone.stages import require_timm

BACKBONE = "backbone"


class Classifier(nn.Module):
    """A timm network on pictures as they are, squashed to one size by whoever calls it.

    Batch norms keep the statistics of the pretraining: those of a few pictures are another
    distribution than the one that is predicted.

    Args:
        network: timm's, with its head.
        loaded: What it was built from: normalisation, architecture.
        classes: Names, by label.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, loaded: LoadedWeights, classes: Sequence[str]) -> None:
        super().__init__()
        self.network, self.loaded, self.classes = network, loaded, tuple(classes)
        self.register_buffer("mean", torch.tensor(loaded.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(loaded.std).view(3, 1, 1), persistent=False)

    @property
    def head(self) -> nn.Module:
        """The layer that names the classes."""
        return cast(nn.Module, cast(Any, self.network).get_classifier())

    def train(self, mode: bool = True) -> Classifier:
        """Set the mode of everything but batch norms."""
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        """Return float32 ``(B, C)`` logits.

        Args:
            pictures: ``(B, 3, H, W)`` float32, RGB in [0, 1].
        """
        logits: Tensor = self.network((pictures - self.mean) / self.std)
        return logits


def start_classifier(loaded: LoadedWeights, classes: Sequence[str], seed: int) -> Classifier:
    """Build the network with a new head.

    Raises:
        UserError: If the weights are another library's.
    """
    require_timm(loaded)
    network = build_model(loaded)
    # The weights are assigned to it, not copied, and training would change what was loaded.
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(own, assign=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cast(Any, network).reset_classifier(len(classes))
    return Classifier(network, loaded, classes)


def save_classifier(classifier: Classifier, directory: str) -> list[str]:
    """Write the classifier as timm knows it, and its backbone beside it.

    ``timm.create_model(architecture, num_classes=C, checkpoint_path=...)`` reads it strictly;
    ``path:DIRECTORY/backbone`` is a source of weights for every millsight command.

    Returns:
        Names of the files.
    """
    loaded, classes = classifier.loaded, list(classifier.classes)
    config = {**loaded.config, "num_classes": len(classes), "label_names": classes}
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in classifier.network.state_dict().items()
    }
    text = json.dumps(config, indent=2) + "\n"
    storage.write_bytes(f"{directory}/{CONFIG_FILE}", text.encode())
    storage.write_bytes(f"{directory}/{WEIGHTS_FILE}", save(tensors, metadata={"format": "pt"}))
    head = {
        f"{name}." for name, part in classifier.network.named_modules() if part is classifier.head
    }
    body = {name: t for name, t in tensors.items() if not name.startswith(tuple(head))}
    names = save_weights(body, loaded, f"{directory}/{BACKBONE}")
    return [CONFIG_FILE, WEIGHTS_FILE, *(f"{BACKBONE}/{name}" for name in names)]


def load_classifier(directory: str) -> Classifier:
    """Read what ``save_classifier`` wrote; in evaluation mode, on the CPU.

    Raises:
        UserError: If it is missing or damaged.
    """
    loaded = load_weights(f"path:{directory}")
    config = json.loads(storage.read_bytes(f"{directory}/{CONFIG_FILE}"))
    return Classifier(build_model(loaded), loaded, config["label_names"]).eval()
