"""Pictures beside a run's JSON Lines."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from millsight.platform.tracking.values import Overlay, Picture

FOLDER = "pictures"


class PictureFiles:
    """Copies pictures to ``pictures/`` in a run's folder.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, stem: str, picture: Picture | Overlay) -> Any:
        """Keep a picture; returns how the JSON Lines name it.

        Args:
            stem: Of the file's name; what no file should be called becomes ``-``.
            picture: What to keep.

        Returns:
            A picture's path from the run's folder; an overlay's ``picture``, ``masks`` and
            ``classes`` as an object.
        """
        if not isinstance(picture, Overlay):
            return self._copy(stem, picture)
        masks = {name: self._copy(f"{stem}-{name}", mask) for name, mask in picture.masks.items()}
        classes = {str(value): name for value, name in picture.classes.items()}
        return {"picture": self._copy(stem, picture.picture), "masks": masks, "classes": classes}

    def _copy(self, stem: str, picture: Picture) -> str:
        (self._folder / FOLDER).mkdir(exist_ok=True)
        suffix = picture.suffix if isinstance(picture, Path) else ".png"
        name = f"{FOLDER}/{re.sub(r'[^a-zA-Z0-9_.-]+', '-', stem)}{suffix}"
        if isinstance(picture, Path):
            shutil.copyfile(picture, self._folder / name)
        else:
            Image.fromarray(picture.astype(np.uint8)).save(self._folder / name)
        return name


def read_picture(folder: Path, named: Any) -> Path | Overlay:
    """Return what ``PictureFiles.keep`` kept under ``named`` in the run's folder."""
    if isinstance(named, str):
        return folder / named
    masks = {name: folder / file for name, file in named["masks"].items()}
    classes = {int(value): name for value, name in named["classes"].items()}
    return Overlay(folder / named["picture"], masks, classes)
