"""The record every reader yields and every stage consumes."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from millsight.platform.catalog.synthetic import RENDERED

SCHEMA_VERSION = 2
GOOD = "good"

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("group", pa.string()),
        pa.field("label", pa.string()),
        pa.field("mask_uri", pa.string()),
        pa.field("mask_id", pa.string()),
        pa.field("boxes", pa.list_(pa.list_(pa.float32(), 4))),
        pa.field("box_labels", pa.list_(pa.string())),
        pa.field("caption", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("synthetic", pa.string()),
    ],
    metadata={"millsight.schema": "samples", "millsight.schema_version": str(SCHEMA_VERSION)},
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and what is known about it.

    Attributes:
        id: First 32 hex digits of the SHA-256 of the file's bytes. Two files with equal bytes have
            equal ids; the catalog keeps both and the duplicate report names them.
        uri: Path or fsspec address of the picture.
        category: Material and line, for example ``"magnetic_tile"``: what a memory bank, a prompt
            set and a threshold belong to.
        split: ``"train"``, ``"val"``, ``"test"`` or ``None`` where nobody has said.
        group: The physical object (tile, coil, part). Pictures of one group stay in one split.
        label: Defect class, ``"good"`` for a picture known to be free of defects, ``None`` where
            it is unknown. A picture without annotation is unknown, not good.
        mask_uri: Mask picture of the same size; foreground is > 127. ``None`` where there is none.
        boxes: ``(x0, y0, x1, y1)`` in pixels of the upright picture, x right and y down.
        box_labels: One class per box.
        caption: A sentence about the picture.
        width: Width in pixels, upright (EXIF orientation applied).
        height: Height in pixels, upright.
        mask_id: Like ``id``, of the mask file, so that an edited mask is another dataset.
        synthetic: How a picture that is no photograph was made, as its file says: a source of
            ``millsight.platform.catalog.synthetic``. It stays, whatever is done to the catalog.
    """

    id: str
    uri: str
    category: str
    split: str | None = None
    group: str | None = None
    label: str | None = None
    mask_uri: str | None = None
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    box_labels: tuple[str, ...] = ()
    caption: str | None = None
    width: int | None = None
    height: int | None = None
    mask_id: str | None = None
    synthetic: str | None = None

    @property
    def defective(self) -> bool | None:
        """``False`` for good, ``True`` for any defect, ``None`` where the label is unknown."""
        return None if self.label is None else self.label != GOOD

    @property
    def derived(self) -> bool:
        """Whether it was made out of other pictures, or by a model that learnt from them.

        A photograph is not, nor is what ``millsight generate procedural`` renders from nothing.
        """
        return self.synthetic not in (None, RENDERED)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A picture that was set aside, and why; it is counted and reported, never skipped silently."""

    uri: str
    reason: str
    sample_id: str | None = None
