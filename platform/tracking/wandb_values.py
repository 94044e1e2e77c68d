"""A tracker's values in W&B's own types. Imports wandb when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millsight.platform.tracking.values import Cell, Overlay, Picture, Row


def frozen(value: Any) -> Any:
    """Return a value that the caller's later writes do not change: arrays are copied."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Overlay):
        masks = {name: frozen(mask) for name, mask in value.masks.items()}
        return Overlay(frozen(value.picture), masks, value.classes)
    return value


def to_image(picture: Picture | Overlay, caption: str | None = None) -> Any:
    """Return a ``wandb.Image``, its masks to be switched on and off in the browser."""
    from wandb.data_types import Classes, Image

    if not isinstance(picture, Overlay):
        return Image(_data(picture), caption=caption)
    classes = {0: "background", **picture.classes}
    masks = {
        name: {"mask_data": _mask(mask), "class_labels": classes}
        for name, mask in picture.masks.items()
    }
    known = Classes([{"id": value, "name": name} for value, name in classes.items()])
    return Image(_data(picture.picture), masks=masks or None, classes=known, caption=caption)


def to_table(rows: Sequence[Row]) -> Any:
    """Return a ``wandb.Table`` with a column for every key of any row."""
    import wandb

    columns: list[str | int] = list(dict.fromkeys(key for row in rows for key in row))
    data: Any = [[_cell(row.get(str(column))) for column in columns] for row in rows]
    return wandb.Table(columns=columns, data=data, allow_mixed_types=True)


def to_chart(name: str, curve: dict[str, list[float]]) -> Any:
    """Return a W&B chart of curves over one x axis, the first column."""
    import wandb

    (x_name, x), *lines = curve.items()
    return wandb.plot.line_series(
        xs=x, ys=[y for _, y in lines], keys=[key for key, _ in lines], title=name, xname=x_name
    )


def _cell(cell: Cell) -> Any:
    return to_image(cell) if isinstance(cell, Overlay) else cell


def _data(picture: Picture) -> Any:
    return str(picture) if isinstance(picture, Path) else picture


def _mask(mask: Picture) -> Any:
    if isinstance(mask, Path):
        from PIL import Image

        return np.asarray(Image.open(mask))
    return mask.astype(np.uint8)
