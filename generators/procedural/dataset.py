"""A folder of procedural steel in the MVTec layout, with its captions beside it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from millsight.generators.procedural.defects import DEFECTS
from millsight.generators.procedural.noise import Size
from millsight.generators.procedural.render import GOOD, render
from millsight.generators.procedural.rendering import Rendering
from millsight.generators.procedural.surfaces import SURFACES
from millsight.platform.catalog.synthetic import RENDERED, mark_png
from millsight.platform.errors import UserError

CAPTIONS_FILE = "captions.jsonl"
TRAIN_SHARE = 0.8


@dataclass(frozen=True)
class Plan:
    """What one picture of a data set will be.

    Attributes:
        seed: what `render` takes.
        surface: one of `SURFACES`.
        label: "good" or a defect.
        split: "train" or "test"; defects are only in test, as MVTec has it.
    """

    seed: int
    surface: str
    label: str
    split: str


def plan_dataset(count: int, seed: int, good_share: float) -> list[Plan]:
    """Decide seeds, surfaces, labels and splits of a data set.

    Args:
        count: number of pictures.
        seed: decides everything; the first n plans do not depend on `count`.
        good_share: probability of a flawless picture, 0 to 1.

    Returns:
        `count` plans. Surfaces and defects take turns, so small sets hold all of them.

    Raises:
        UserError: count is below 1 or good_share outside 0 to 1.
    """
    if count < 1:
        raise UserError(f"count {count}: ask for at least 1 picture.")
    if not 0.0 <= good_share <= 1.0:
        raise UserError(f"good_share {good_share}: it must lie between 0 and 1.")
    defects, plans, damaged = list(DEFECTS), [], 0
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        picture_seed = int(rng.integers(2**53))
        surface = SURFACES[index % len(SURFACES)]
        if rng.random() < good_share:
            split = "train" if rng.random() < TRAIN_SHARE else "test"
            plans.append(Plan(picture_seed, surface, GOOD, split))
        else:
            label = defects[damaged % len(defects)]
            damaged += 1
            plans.append(Plan(picture_seed, surface, label, "test"))
    return plans


def _write_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, stream = cv2.imencode(".png", picture)
    path.write_bytes(mark_png(stream.tobytes(), RENDERED))


def _write(output: Path, index: int, plan: Plan, rendering: Rendering) -> dict[str, Any]:
    """Write one picture with its mask; returns its line of the captions file."""
    category, stem = f"{plan.surface}_steel", f"{index:06d}"
    file = Path(category) / plan.split / plan.label / f"{stem}.png"
    _write_png(output / file, rendering.picture)
    mask = None
    if plan.label != GOOD:
        mask = Path(category) / "ground_truth" / plan.label / f"{stem}_mask.png"
        _write_png(output / mask, rendering.mask.astype(np.uint8) * np.uint8(255))
    return {
        "file": file.as_posix(),
        "mask": mask and mask.as_posix(),
        "label": rendering.label,
        "surface": rendering.surface,
        "seed": plan.seed,
        "boxes": rendering.boxes.tolist(),
        "attributes": rendering.attributes,
        "captions": list(rendering.captions),
    }


def write_dataset(
    output: Path,
    *,
    count: int,
    size: Size = (256, 256),
    seed: int = 0,
    good_share: float = 0.5,
    progress: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Render a data set into a folder.

    The layout is MVTec's, one category per surface: `rolled_steel/train/good/000003.png`,
    `rolled_steel/test/scratch/000006.png`, `rolled_steel/ground_truth/scratch/000006_mask.png`.
    `captions.jsonl` has one line a picture: file, mask, label, surface, seed, boxes (xyxy pixels),
    attributes and captions. `render(seed, size=..., surface=..., defect=label)` draws it again.

    Args:
        output: the folder; made where it is absent.
        count: number of pictures.
        size: (height, width) in pixels, 64 to 512 each.
        seed: decides the whole set.
        good_share: share of flawless pictures; four fifths of them go to train.
        progress: called with the number of pictures written, after each.

    Returns:
        The lines of `captions.jsonl`.

    Raises:
        UserError: count, size or good_share is out of range.
    """
    plans = plan_dataset(count, seed, good_share)
    output.mkdir(parents=True, exist_ok=True)
    rows = []
    for index, plan in enumerate(plans):
        rendering = render(plan.seed, size=size, surface=plan.surface, defect=plan.label)
        rows.append(_write(output, index, plan, rendering))
        progress(index + 1)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (output / CAPTIONS_FILE).write_text(lines, encoding="utf-8")
    return rows
