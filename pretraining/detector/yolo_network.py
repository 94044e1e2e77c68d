"""YOLOv8 as a description that ultralytics builds, and the names of its backbones' tensors.

Nothing but modules that ultralytics finds by itself is used, so that it opens the saved file alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from millsight.platform.errors import UserError
from millsight.platform.weights import csp_darknet
from millsight.pretraining.detector.stages import BackboneChoice

SWINS = {
    "swin_tiny_patch4_window7_224": "swin_t",
    "swin_small_patch4_window7_224": "swin_s",
    "swin_base_patch4_window7_224": "swin_b",
}
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
# Where torchvision's networks end a stage, among their modules in order; the stem first.
RESNET_ENDS, SWIN_ENDS = (3, 5, 6, 7, 8), (2, 4, 6, 8)

Layer = list[Any]


def describe(choice: BackboneChoice | None, scale: str, n_classes: int) -> dict[str, Any]:
    """Describe the network.

    Args:
        choice: ``None`` for YOLOv8's own CSPDarknet.
        scale: Size of the rest: ``n``, ``s``, ``m``, ``l`` or ``x``.
        n_classes: Classes.

    Raises:
        UserError: If YOLO cannot be built on the backbone.
    """
    if choice is None:
        backbone, features = csp_darknet.layers(), csp_darknet.ENDS[2:]
    else:
        backbone, features = _torchvision(choice.architecture)
    return {
        "nc": n_classes,
        "scale": scale,
        "scales": {name: list(values) for name, values in csp_darknet.SCALES.items()},
        "backbone": backbone,
        "head": _head(features, len(backbone)),
    }


def stage_ends(architecture: str) -> tuple[int, ...]:
    """Return after how many of the backbone's modules each of its stages ends, the stem's first."""
    return SWIN_ENDS if architecture in SWINS else RESNET_ENDS


def timm_names(architecture: str, own: Iterable[str]) -> dict[str, str]:
    """Return torchvision's names of the tensors, in a sequence of modules, by timm's names."""
    rename = _swin_name if architecture in SWINS else _resnet_name
    # The index of relative positions is computed, not learnt; timm does not keep it.
    return {rename(name): name for name in own if not name.endswith("relative_position_index")}


def _torchvision(architecture: str) -> tuple[list[Layer], tuple[int, int, int]]:
    if architecture not in (*RESNETS, *SWINS):
        raise UserError(
            f"--training.backbone {architecture}: YOLO is built on its own CSPDarknet, on "
            f"{', '.join(RESNETS)}, or on {', '.join(SWINS)}."
        )
    name = SWINS.get(architecture, architecture)
    swin = architecture in SWINS
    if swin:
        last = 1024 if name == "swin_b" else 768
    else:
        last = 512 if name in ("resnet18", "resnet34") else 2048
    # All but the layers after the last stage; every module's output is kept, the input first.
    layers: list[Layer] = [
        [-1, 1, "nn.Conv2d", [3, 3, 1]],
        [-1, 1, "TorchVision", [last, name, None, True, 5 if swin else 2, True]],
    ]
    features = []
    for end, channels in zip(
        stage_ends(architecture)[-3:], (last // 4, last // 2, last), strict=True
    ):
        layers.append([1, 1, "Index", [channels, end]])
        if swin:
            layers.append([-1, 1, "torchvision.ops.Permute", [[0, 3, 1, 2]]])
        features.append(len(layers) - 1)
    layers.append([-1, 1, "SPPF", [1024, 5]])
    return layers, (features[0], features[1], len(layers) - 1)


def _head(features: tuple[int, int, int], start: int) -> list[Layer]:
    """YOLOv8's path down and up again over strides 8, 16 and 32."""
    fine, middle, coarse = features
    return [
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, middle], 1, "Concat", [1]],
        [-1, 3, "C2f", [512]],
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, fine], 1, "Concat", [1]],
        [-1, 3, "C2f", [256]],
        [-1, 1, "Conv", [256, 3, 2]],
        [[-1, start + 2], 1, "Concat", [1]],
        [-1, 3, "C2f", [512]],
        [-1, 1, "Conv", [512, 3, 2]],
        [[-1, coarse], 1, "Concat", [1]],
        [-1, 3, "C2f", [1024]],
        [[start + 5, start + 8, start + 11], 1, "Detect", ["nc"]],
    ]


def _resnet_name(own: str) -> str:
    number, _, rest = own.partition(".")
    modules = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return f"{modules[int(number)]}.{rest}"


def _swin_name(own: str) -> str:
    number, _, rest = own.partition(".")
    if number == "0":
        return "patch_embed." + rest.replace("0.", "proj.").replace("2.", "norm.")
    place = int(number)
    if place % 2 == 0:
        return f"layers.{place // 2}.downsample.{rest}"
    block = re.sub(r"mlp\.0\.", "mlp.fc1.", re.sub(r"mlp\.3\.", "mlp.fc2.", rest))
    return f"layers.{place // 2}.blocks.{block}"
