"""``millsight data tile``: pictures cut into tiles, each a sample of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from millsight.platform.artifacts import Draft, drafting, find_artifact
from millsight.platform.commands import EXIT_QUARANTINED, Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe

if TYPE_CHECKING:
    import numpy as np

    from millsight.platform.catalog.sample import Sample

KIND = "catalog"
MAX_TILES = 64


@dataclass(kw_only=True)
class TileConfig(OutputConfig):
    """What to cut, and into how many.

    Attributes:
        data: Folder of pictures in any layout, or a catalog; pictures without a mask and without
            the label good are left out.
        layout: auto, or the name of the layout to read the folder in.
        category: Material and line; by default the folder's name.
        rows: Tiles from top to bottom.
        columns: Tiles from left to right.
    """

    data: str
    layout: str = "auto"
    category: str | None = None
    rows: int = 2
    columns: int = 2

    def check(self) -> None:
        """Refuse what cuts nothing.

        Raises:
            UserError: Naming the flags.
        """
        if min(self.rows, self.columns) < 1 or not 1 < self.rows * self.columns <= MAX_TILES:
            raise UserError(f"--rows {self.rows} --columns {self.columns}: 2 to {MAX_TILES} tiles.")


def tile(config: TileConfig) -> Outcome:
    """Cut pictures with known masks into tiles; a tile without an outlined pixel is good."""
    config.check()
    from millsight.platform.catalog.catalog import FILE, load_data
    from millsight.platform.catalog.sample import SCHEMA_VERSION, Quarantined, Sample

    catalog = load_data(config.data, config.layout, config.category)
    cut = {"rows": config.rows, "columns": config.columns}
    recipe = Recipe(KIND, SCHEMA_VERSION, {"tiles": cut}, {"data": catalog.as_input()})
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        with drafting(path, recipe) as draft:
            known = [s for s in catalog if s.mask_uri is not None or s.defective is False]
            found = [item for sample in known for item in _cut(sample, cut, path, draft)]
            broken = tuple(item for item in found if isinstance(item, Quarantined))
            tiles = tuple(item for item in found if isinstance(item, Sample))
            if not tiles:
                raise UserError(f"--data {config.data}: no picture has a mask or is good.")
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
            yield _write(sample, (picture[part], mask[part]), name, home, draft)


def _write(
    sample: Sample, parts: tuple[np.ndarray, np.ndarray], name: str, home: str, draft: Draft
) -> Sample:
    import cv2
    import numpy as np

    from millsight.platform import storage
    from millsight.platform.catalog.catalog import content_id
    from millsight.platform.catalog.sample import GOOD
    from millsight.platform.catalog.synthetic import mark_png

    picture, mask = parts
    pixels = cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes()
    if sample.synthetic is not None:
        pixels = mark_png(pixels, sample.synthetic)
    outlined = cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()
    storage.write_bytes(draft.file(f"pictures/{name}"), pixels)
    storage.write_bytes(draft.file(f"masks/{name}"), outlined)
    return replace(
        sample,
        id=content_id(pixels),
        uri=f"{home}/pictures/{name}",
        group=sample.group or sample.id,
        label=(sample.label if mask.any() else GOOD) if sample.label else sample.label,
        mask_uri=f"{home}/masks/{name}",
        mask_id=content_id(outlined),
        boxes=(),
        box_labels=(),
        caption=None,
        width=picture.shape[1],
        height=picture.shape[0],
    )
