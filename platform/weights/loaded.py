"""What every source of weights gives: the tensors, the recipe of their network, their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from millsight.platform.fingerprints import digest
from millsight.platform.weights.files import as_state_dict

if TYPE_CHECKING:
    import torch

Library = Literal["open_clip", "timm", "ultralytics"]
# What open_clip assumes of a config file without preprocess_cfg.
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class LoadedWeights:
    """Weights in memory, not yet in a network.

    Attributes:
        source: The source string they came from.
        library: Which library builds the network.
        architecture: Its name there, for example ``"ViT-B-32"`` or ``"resnet50"``.
        config: In the library's own file layout. open_clip (``open_clip_config.json``):
            ``model_cfg`` and ``preprocess_cfg``; timm (``config.json``): ``architecture``,
            ``num_classes``, ``model_args`` and ``pretrained_cfg``; ultralytics likewise, with
            ``library``.
        state_dict: Tensors by name on the CPU; half precision is already cast to float32.
        sha256: ``hash_tensors(state_dict)``; does not depend on the file format.
    """

    source: str
    library: Library
    architecture: str
    config: Mapping[str, Any]
    state_dict: Mapping[str, torch.Tensor]
    sha256: str

    @property
    def fingerprint(self) -> str:
        """SHA-256, 64 hex digits, over tensors, architecture and config: all that acts on a number.

        Two sources with the same tensors but another normalisation or activation differ here.
        """
        return digest([self.library, self.architecture, self.config, self.sha256])

    @property
    def mean(self) -> tuple[float, float, float]:
        """Mean to subtract from an RGB picture in [0, 1]."""
        red, green, blue = self._preprocess().get("mean", OPENAI_MEAN)
        return float(red), float(green), float(blue)

    @property
    def std(self) -> tuple[float, float, float]:
        """Standard deviation to divide an RGB picture in [0, 1] by, after the mean."""
        red, green, blue = self._preprocess().get("std", OPENAI_STD)
        return float(red), float(green), float(blue)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, pixels, that the weights were trained at."""
        if self.library == "open_clip":
            size = self.config["model_cfg"]["vision_cfg"].get("image_size", 224)
            return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        _, height, width = self.config["pretrained_cfg"].get("input_size", (3, 224, 224))
        return int(height), int(width)

    @property
    def resize_size(self) -> tuple[int, int]:
        """Height and width that whole pictures are brought to, of which training saw crops.

        timm's ``crop_pct``: 224 of 256 pixels for most of its networks. open_clip does not crop.
        """
        height, width = self.image_size
        share = float(self._preprocess().get("crop_pct", 1.0))
        return round(height / share), round(width / share)

    def _preprocess(self) -> Mapping[str, Any]:
        key = "preprocess_cfg" if self.library == "open_clip" else "pretrained_cfg"
        preprocess: Mapping[str, Any] = self.config.get(key) or {}
        return preprocess


def pack(
    source: str,
    library: Library,
    architecture: str,
    config: Mapping[str, Any],
    state_dict: Mapping[str, torch.Tensor],
) -> LoadedWeights:
    """Put the parts together: half precision cast to float32, tensors hashed.

    Raises:
        UserError: If ``state_dict`` holds something else than tensors by name.
    """
    tensors = as_state_dict(state_dict, source)
    return LoadedWeights(source, library, architecture, config, tensors, hash_tensors(tensors))


def hash_tensors(state_dict: Mapping[str, torch.Tensor]) -> str:
    """SHA-256, 64 hex digits, over names (sorted), dtypes, shapes and bytes of CPU tensors."""
    import torch

    sha = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach()
        header = json.dumps([name, str(tensor.dtype), list(tensor.shape)])
        sha.update(header.encode())
        sha.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
