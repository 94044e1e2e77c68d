"""From a decoded picture to the encoder's input: size, light, normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

STRIDE = 32
BACKGROUND_SHARE = 1 / 8
DARKNESS, LEVEL = 8.0, 110.0


@dataclass(frozen=True)
class Preparation:
    """How pictures are prepared.

    Attributes:
        size: Height and width, pixels, that pictures are squashed to.
        keep_aspect: Keep the shape of the picture instead, at about the area of ``size`` and with
            sides that are multiples of 32.
        flatten_light: Divide the picture by its own background.
        antialias: Resize with antialiasing on 8 bits, as open_clip trains; without, the float
            picture is interpolated as it is (the released KeAD code).
        mean: Per channel, of a picture in [0, 1].
        std: Likewise.
    """

    size: tuple[int, int]
    keep_aspect: bool
    flatten_light: bool
    antialias: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, picture: np.ndarray) -> Tensor:
        """Prepare one picture.

        Args:
            picture: uint8 (H, W, 3), RGB.

        Returns:
            float32 (3, h, w), normalised, on the CPU.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
        resized = transforms.resize(
            pixels if self.antialias else pixels.float(),
            list(self.target(*picture.shape[:2])),
            interpolation=transforms.InterpolationMode.BICUBIC,
            antialias=self.antialias,
        ).float()
        if self.flatten_light:
            resized = divide_by_background(resized)
        mean, std = torch.tensor([self.mean, self.std]).view(2, 3, 1, 1)
        normalised: Tensor = (resized / 255.0 - mean) / std
        return normalised

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that a picture of this size is brought to."""
        if not self.keep_aspect:
            return self.size
        side, stretch = math.sqrt(self.size[0] * self.size[1]), math.sqrt(height / width)
        return _to_stride(side * stretch), _to_stride(side / stretch)


def divide_by_background(pixels: Tensor) -> Tensor:
    """Take uneven light away: divide by a blurred copy of the grey picture.

    The blur's sigma is an eighth of the longer side. What is left is reflectance around a grey
    value of 110.

    Args:
        pixels: float (3, h, w) in [0, 255].

    Returns:
        Likewise.
    """
    grey = np.ascontiguousarray(pixels.mean(dim=0).numpy())
    background = cv2.GaussianBlur(grey, (0, 0), max(grey.shape) * BACKGROUND_SHARE)
    return (pixels * (LEVEL / (torch.from_numpy(background) + DARKNESS))).clamp(0, 255)


def _to_stride(side: float) -> int:
    return max(2, round(side / STRIDE)) * STRIDE
