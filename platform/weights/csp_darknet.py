"""YOLOv8's CSPDarknet with the interface of timm's networks.

Its layers are built by ultralytics, which is licensed under AGPL-3.0 and therefore an extra.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import Tensor, nn

from millsight.platform.errors import UserError

LICENCE = (
    "YOLOv8 is ultralytics' code under AGPL-3.0: what is built on it and given to others, or "
    "served to them over a network, comes under the same licence (https://ultralytics.com/license)."
)
# Depth, width and most channels of each size (ultralytics' yolov8.yaml).
SCALES = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.50, 1024),
    "m": (0.67, 0.75, 768),
    "l": (1.00, 1.00, 512),
    "x": (1.00, 1.25, 512),
}
NAME = "yolov8"
N_LAYERS = 10
# The layers that end a stage: of stride 2, 4, 8, 16 and 32.
ENDS = (0, 2, 4, 6, 9)


class CspDarknet(nn.Module):
    """YOLOv8's first ten layers, by their names in ultralytics' files: ``0.conv.weight``.

    Args:
        scale: ``n``, ``s``, ``m``, ``l`` or ``x``.
        num_classes: Of a linear head on the mean of the last features; 0 for none.

    Attributes:
        feature_info: As timm's: one dict per stage with ``module``, ``num_chs``, ``reduction``.
        head_hidden_size: Channels of the last features.

    Raises:
        UserError: If ultralytics is not installed.
    """

    def __init__(self, scale: str, num_classes: int = 0) -> None:
        super().__init__()
        require_ultralytics()
        from ultralytics.nn.tasks import parse_model
        from ultralytics.utils.torch_utils import initialize_weights

        scales = {name: list(values) for name, values in SCALES.items()}
        description = {"scale": scale, "scales": scales, "nc": 1, "backbone": layers(), "head": []}
        built, _ = parse_model(description, ch=3, verbose=False)
        initialize_weights(built)
        for number, layer in enumerate(built):
            self.add_module(str(number), layer)
        channels = [built[end].cv2.conv.out_channels for end in ENDS[1:]]
        self.feature_info = [
            {"module": str(end), "num_chs": width, "reduction": 2 ** (stage + 1)}
            for stage, (end, width) in enumerate(
                zip(ENDS, (built[0].conv.out_channels, *channels), strict=True)
            )
        ]
        self.head_hidden_size = channels[-1]
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int) -> None:
        """Start the head anew; 0 takes it off."""
        width = self.head_hidden_size
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()

    def forward_intermediates(
        self, x: Tensor, indices: Sequence[int], output_fmt: str = "NCHW"
    ) -> tuple[Tensor, list[Tensor]]:
        """Run the layers.

        Args:
            x: ``(B, 3, H, W)`` float, RGB in [0, 1], H and W multiples of 32.
            indices: Of the stages to return.
            output_fmt: ``NCHW``, the one that there is.

        Returns:
            The last features, and those of the stages, each ``(B, C, h, w)``.
        """
        found = []
        for number in range(N_LAYERS):
            x = self.get_submodule(str(number))(x)
            if number in ENDS:
                found.append(x)
        return x, [found[index] for index in indices]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return ``(B, classes)``, or ``(B, C)`` means of the last features."""
        pooled = x.mean((2, 3))
        logits: Tensor = pooled if pre_logits else self.head(pooled)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, classes)``."""
        return self.forward_head(self.forward_intermediates(x, ())[0])


def layers() -> list[list[Any]]:
    """Return the ten layers as ultralytics' descriptions have them."""
    found: list[list[Any]] = [[-1, 1, "Conv", [64, 3, 2]]]
    for channels, repeats in ((128, 3), (256, 6), (512, 6), (1024, 3)):
        found.append([-1, 1, "Conv", [channels, 3, 2]])
        found.append([-1, repeats, "C2f", [channels, True]])
    return [*found, [-1, 1, "SPPF", [1024, 5]]]


@cache
def require_ultralytics() -> None:
    """Let ultralytics be imported, without its calls home and its installations; say its licence.

    Raises:
        UserError: If it is not installed.
    """
    if importlib.util.find_spec("ultralytics") is None:
        raise UserError(
            "YOLO needs ultralytics, which is not installed: pip install 'millsight[ultralytics]'. "
            "Mind its licence, AGPL-3.0; the other detectors come without it."
        )
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    print(LICENCE, file=sys.stderr)
