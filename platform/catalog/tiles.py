"""``millsight data tile``: pictures cut into tiles, each a sample of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from millsight.platform.artifacts import Draft, drafting, find_artifact
from millsight.platform.commands import EXIT_QUARANTINED, Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe

if TYPE_CHECKING:
    import numpy as np

    from millsight.platform.catalog.sample import Sample

KIND = "catalog"
MAX_TILES = 64
# A tile that holds less of a box than this many pixels of its width or height shows no defect for
# sure, and is not good for sure either.
LEAST_SIDE = 4.0


@dataclass(kw_only=True)
class TileConfig(OutputConfig):
    """What to cut, and into how many.

    Attributes:
        data: Folder of pictures in any layout, or a catalog; pictures that say neither where their
            defects are nor that they are good are left out.
        layout: auto, or the name of the layout to read the folder in.
        category: Material and line; by default the folder's name.
        rows: Tiles from top to bottom.
        columns: Tiles from left to right.
        by: What says where the defects are. With ``boxes``, tiles keep their parts of them, and a
            tile without one is good as far as nobody has forgotten a box; tiles with a sliver of
            one are left out.
    """

    data: str
    layout: str = "auto"
    category: str | None = None
    rows: int = 2
    columns: int = 2
    by: Literal["masks", "boxes"] = "masks"

    def check(self) -> None:
        """Refuse what cuts nothing.

        Raises:
            UserError: Naming the flags.
        """
        if min(self.rows, self.columns) < 1 or not 1 < self.rows * self.columns <= MAX_TILES:
            raise UserError(f"--rows {self.rows} --columns {self.columns}: 2 to {MAX_TILES} tiles.")


def tile(config: TileConfig) -> Outcome:
    """Cut pictures with known masks or boxes into tiles; a tile without a defect is good."""
    config.check()
    from millsight.platform.catalog.catalog import FILE, load_data
    from millsight.platform.catalog.sample import SCHEMA_VERSION, Quarantined, Sample

    catalog = load_data(config.data, config.layout, config.category)
    cut = {"rows": config.rows, "columns": config.columns}
    boxed = config.by == "boxes"
    settings = {"tiles": cut} | ({"by": config.by} if boxed else {})
    recipe = Recipe(KIND, SCHEMA_VERSION, settings, {"data": catalog.as_input()})
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        with drafting(path, recipe) as draft:
            known = [_by_boxes(s) if boxed else s for s in catalog if _is_known(s, boxed)]
            found = [item for sample in known for item in _cut(sample, cut, path, draft)]
            broken = tuple(item for item in found if isinstance(item, Quarantined))
            tiles = tuple(item for item in found if isinstance(item, Sample))
            if not tiles:
                raise UserError(f"--data {config.data}: no picture has {config.by} or is good.")
            made = replace(
                catalog,
                samples=tiles,
                quarantined=catalog.quarantined + broken,
                layout="tiles",
                evidence=f"cut {config.rows} x {config.columns} from {catalog.uri}",
            )
            made.write(draft.file(FILE))
            artifact = draft.commit({"pictures": len(tiles), "quarantined": len(made.quarantined)})
    print(f"{artifact.manifest['metrics']['pictures']} tiles: {artifact.path}")
    quarantined = artifact.manifest["metrics"]["quarantined"]
    return Outcome(EXIT_QUARANTINED if quarantined else 0, artifact)


def _is_known(sample: Sample, boxed: bool) -> bool:
    drawn = bool(sample.boxes) if boxed else sample.mask_uri is not None
    return drawn or sample.defective is False


def _by_boxes(sample: Sample) -> Sample:
    return replace(sample, mask_uri=None, mask_id=None)


def _cut(sample: Sample, cut: dict[str, int], home: str, draft: Draft) -> Iterator[object]:
    """Write the tiles of one picture and their masks; yield their samples."""
    import numpy as np

    from millsight.platform.catalog.pictures import PictureError, open_mask, open_picture
    from millsight.platform.catalog.sample import Quarantined

    try:
        picture = open_picture(sample.uri)
        height, width = picture.shape[:2]
        size = (width, height)
        drawn = None if sample.mask_uri is None else open_mask(sample.mask_uri, size)
    except PictureError as error:
        yield Quarantined(sample.uri, str(error), sample.id)
        return
    boxed = sample.mask_uri is None and bool(sample.boxes)
    good = sample.defective is False or drawn is None
    mask = np.zeros((height, width), dtype=bool) if good or drawn is None else drawn
    if not good and not mask.any():
        return  # Defective and not outlined: none of its tiles is known to be good.
    ys = np.linspace(0, height, cut["rows"] + 1).round().astype(int)
    xs = np.linspace(0, width, cut["columns"] + 1).round().astype(int)
    for row in range(cut["rows"]):
        for column in range(cut["columns"]):
            part = slice(ys[row], ys[row + 1]), slice(xs[column], xs[column + 1])
            name = f"{sample.id}_{row}_{column}.png"
            if not boxed:
                truth: Sample | None = _masked(sample, mask[part], name, home, draft)
            else:
                truth = _boxed(sample, (xs[column], ys[row], xs[column + 1], ys[row + 1]))
            if truth is not None:
                yield _write(truth, picture[part], name, home, draft)


def _masked(sample: Sample, mask: np.ndarray, name: str, home: str, draft: Draft) -> Sample:
    """Return the sample with what a tile's mask says, which is written."""
    import cv2
    import numpy as np

    from millsight.platform import storage
    from millsight.platform.catalog.catalog import content_id
    from millsight.platform.catalog.sample import GOOD

    outlined = cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()
    storage.write_bytes(draft.file(f"masks/{name}"), outlined)
    return replace(
        sample,
        label=(sample.label if mask.any() else GOOD) if sample.label else sample.label,
        mask_uri=f"{home}/masks/{name}",
        mask_id=content_id(outlined),
        boxes=(),
        box_labels=(),
    )


def _boxed(sample: Sample, tile: tuple[int, int, int, int]) -> Sample | None:
    """Return the sample with its boxes' parts in a tile ``(x0, y0, x1, y1)``, of pixels.

    Its label is the class of the largest; ``None`` where only a sliver of a box is in the tile.
    """
    import numpy as np

    from millsight.platform.catalog.sample import GOOD

    corners = np.array(sample.boxes, np.float32)
    low, high = np.array(tile[:2]), np.array(tile[2:])
    parts = np.hstack([corners[:, :2].clip(low, high) - low, corners[:, 2:].clip(low, high) - low])
    sides = (parts[:, 2:] - parts[:, :2]).clip(0)
    inside, shown = sides.min(axis=1) > 0, sides.min(axis=1) >= LEAST_SIDE
    if not inside.any():
        return replace(sample, label=GOOD, boxes=(), box_labels=())
    if not shown.any():
        return None
    names = tuple(sample.box_labels[at] for at in np.flatnonzero(shown))
    boxes = tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in parts[shown].tolist())
    largest = int(sides[shown].prod(axis=1).argmax())
    return replace(sample, label=names[largest], boxes=boxes, box_labels=names)


def _write(sample: Sample, picture: np.ndarray, name: str, home: str, draft: Draft) -> Sample:
    import cv2

    from millsight.platform import storage
    from millsight.platform.catalog.catalog import content_id
    from millsight.platform.catalog.synthetic import mark_png

    pixels = cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes()
    if sample.synthetic is not None:
        pixels = mark_png(pixels, sample.synthetic)
    storage.write_bytes(draft.file(f"pictures/{name}"), pixels)
    return replace(
        sample,
        id=content_id(pixels),
        uri=f"{home}/pictures/{name}",
        group=sample.group or sample.id,
        caption=None,
        width=picture.shape[1],
        height=picture.shape[0],
    )
