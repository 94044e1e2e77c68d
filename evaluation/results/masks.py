"""Predicted masks in a folder of PNG files, made by any tool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.masks import count_masks
from millsight.evaluation.metrics.pixels import picture_pixels
from millsight.evaluation.results.histograms import count_pixels
from millsight.evaluation.results.joining import match, require_all
from millsight.evaluation.results.outside import read_bounded
from millsight.evaluation.results.row import PictureResult
from millsight.evaluation.results.truth import true_mask
from millsight.platform import storage
from millsight.platform.catalog.pictures import PictureError, probe_picture
from millsight.platform.errors import UserError

PNG = b"\x89PNG\r\n\x1a\n"
ENDINGS = ("", "_mask", "_pred", "_prediction")
MAX_FILE_BYTES = 256 << 20
MAX_FILES = 1_000_000

Grey = NDArray[np.unsignedinteger[Any]]


def add_masks(
    rows: Sequence[PictureResult], folder: str, threshold: float | None = None
) -> list[PictureResult]:
    """Fill in predicted masks and their pixel counts.

    Args:
        rows: The pictures; each needs a mask, an all-black one where nothing was found.
        folder: PNG files of the pictures' sizes, named like the pictures (or with ``_mask``,
            ``_pred``, ``_prediction`` behind the name) in any folders, or like the sample ids.
        threshold: Without one, masks hold 0 and 255 (or 0 and 1) only. With one, they are
            probabilities: 8-bit values over 255 or 16-bit values over 65,535, and a pixel is
            predicted where its probability is at least the threshold, in (0, 1]. Probabilities
            also fill ``map_histogram``, so that pixels can be ranked.

    Raises:
        UserError: If the folder or a mask is missing, or a mask does not decode, has another size
            than its picture, or holds other values.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise UserError(f"threshold {threshold} of the masks has to be above 0 and at most 1.")
    names = png_files(folder)
    found = match(rows, names, lambda at: _address(folder, names[at]), ENDINGS)
    way_out = "Write an all-black PNG where a model found nothing, or judge fewer pictures."
    require_all(rows, found, f"mask folder {folder}", way_out)
    return [
        _fill(row, _address(folder, names[found[index]]), threshold)
        for index, row in enumerate(rows)
    ]


def open_predicted(uri: str, size: tuple[int, int]) -> Grey:
    """Decode a grey PNG; its size is checked before a pixel is unpacked.

    Args:
        uri: Path or fsspec address.
        size: ``(width, height)`` of its picture.

    Returns:
        ``(H, W)`` uint8 or uint16. A colour picture whose channels agree counts as grey.

    Raises:
        UserError: If it is no PNG, does not decode, or has another size or colours.
    """
    data = read_bounded(uri, MAX_FILE_BYTES)
    if not data.startswith(PNG):
        raise UserError(f"{uri} is not a PNG file; lossy formats change masks, so save PNG.")
    try:
        found = probe_picture(data)
    except PictureError as error:
        raise UserError(f"{uri}: {error}.") from None
    if found != size:
        raise UserError(
            f"{uri} has {found[0]}x{found[1]} pixels, its picture {size[0]}x{size[1]}. Save masks "
            "at the size of the pictures."
        )
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise UserError(f"{uri}: corrupt or truncated PNG.")
    return _grey(np.asarray(values), uri)


def _fill(row: PictureResult, uri: str, threshold: float | None) -> PictureResult:
    values = open_predicted(uri, (row.width, row.height))
    truth = true_mask(row)
    if threshold is None:
        predicted, histogram = _binary(values, uri), row.map_histogram
    else:
        probability = values / np.float32(np.iinfo(values.dtype).max)
        predicted, histogram = probability >= np.float32(threshold), None
        if truth is not None:
            histogram = count_pixels(picture_pixels(probability, truth))
    filled = replace(
        row,
        predicted_mask_uri=uri,
        predicted_area=int(predicted.sum()),
        map_histogram=histogram,
    )
    if truth is None:
        return filled
    tp, fp, fn = (int(count) for count in count_masks(predicted, truth))
    return replace(filled, tp=tp, fp=fp, fn=fn)


def _binary(values: Grey, uri: str) -> NDArray[np.bool_]:
    levels = np.flatnonzero(np.bincount(values.ravel()))
    foreground = levels[levels > 0]
    if foreground.size and foreground.tolist() not in ([1], [255], [65535]):
        raise UserError(
            f"{uri} holds values such as {foreground[0]}, not just 0 and 255. Pass a threshold if "
            "they are probabilities; save masks of several classes as 0 and 255."
        )
    mask: NDArray[np.bool_] = values > 0
    return mask


def _grey(values: Grey, uri: str) -> Grey:
    if values.ndim == 2:
        return values
    colour = values[:, :, :3]
    if (colour != colour[:, :, :1]).any():
        raise UserError(f"{uri} is a colour picture; save masks as grey PNG with 0 and 255.")
    return np.ascontiguousarray(colour[:, :, 0])


def png_files(folder: str) -> list[str]:
    """List the PNG files below a folder, in alphabetical order.

    Raises:
        UserError: If the folder is missing, or holds none or too many.
    """
    fs, path = storage.filesystem(folder)
    if not fs.isdir(path):
        raise UserError(f"mask folder {folder}: no such folder.")
    start = len(path.rstrip("/")) + 1
    names = [str(name)[start:] for name in sorted(fs.find(path))]
    found = [name for name in names if name.lower().endswith(".png")]
    if not found:
        raise UserError(f"mask folder {folder} holds no PNG file.")
    if len(found) > MAX_FILES:
        raise UserError(f"mask folder {folder} holds more than {MAX_FILES:,} PNG files; split it.")
    return found


def _address(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"
