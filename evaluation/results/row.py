"""What is known and what was predicted about one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ResultBox:
    """A true or a predicted box.

    Attributes:
        x0: Left edge, pixels of the upright picture, x right.
        y0: Upper edge, y down.
        x1: Right edge.
        y1: Lower edge.
        label: Class; ``None`` where the boxes have none.
        score: Confidence of a predicted box; ``None`` for a true one.
        area: Pixels of the true defect in it, by which it counts as small or large; ``None`` where
            only the box is known.
        crowd: Whether a true box holds many defects, so that what is found in it is neither right
            nor wrong.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    label: str | None = None
    score: float | None = None
    area: float | None = None
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class MapHistogram:
    """How often each map value occurs on normal and on defective pixels of one picture.

    Sparse: only bins that hold a pixel are listed. The bins are those between the fixed
    ``millsight.evaluation.results.histograms.EDGES``, so any two tables can be merged.

    Attributes:
        bins: ``(B,)`` rising bin numbers; 0 holds the highest values.
        normal: ``(B,)`` normal pixels in each bin.
        defective: ``(B,)`` defective pixels in each bin.
        overlap: ``(B,)`` sum of 1 / (area of its true region) over the defective pixels.
    """

    bins: tuple[int, ...]
    normal: tuple[int, ...]
    defective: tuple[int, ...]
    overlap: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PictureResult:
    """One row of the result table; ``None`` is "not known" or "not predicted", never zero.

    Attributes:
        sample_id: Of the picture's ``Sample``.
        uri: The picture; rows of equal bytes differ in it.
        category: Material and line.
        width: Of the upright picture, pixels.
        height: Of the upright picture, pixels.
        split: ``"train"``, ``"val"``, ``"test"`` or ``None``.
        synthetic: Whether the picture was generated.
        defective: y, whether the picture has a defect.
        label: True class; ``"good"`` for a picture known to be free of defects.
        defect_area: Defective pixels of the true mask.
        defect_elongation: Long over short side of its largest region, at least 1; ``None`` where
            there is no defective pixel.
        true_mask_uri: The true mask; a good picture without one has no defective pixel.
        true_boxes: ``None`` where nobody drew boxes, empty where there is nothing to draw.
        score: Higher is more anomalous.
        decision: d, whether the picture was called defective.
        predicted_label: Predicted class.
        class_scores: Score of every class.
        tp: Defective pixels that were predicted, |P and G|.
        fp: Normal pixels that were predicted, |P| - |P and G|.
        fn: Defective pixels that were not, |G| - |P and G|.
        predicted_area: Predicted pixels, known without a true mask too.
        predicted_boxes: ``None`` where no detector ran, empty where it found nothing.
        predicted_mask_uri: The predicted mask.
        map_histogram: Of the anomaly map, where there is one and the true pixels are known.
    """

    sample_id: str
    uri: str
    category: str
    width: int
    height: int
    split: str | None = None
    synthetic: bool = False
    defective: bool | None = None
    label: str | None = None
    defect_area: int | None = None
    defect_elongation: float | None = None
    true_mask_uri: str | None = None
    true_boxes: tuple[ResultBox, ...] | None = None
    score: float | None = None
    decision: bool | None = None
    predicted_label: str | None = None
    class_scores: Mapping[str, float] = field(default_factory=dict)
    tp: int | None = None
    fp: int | None = None
    fn: int | None = None
    predicted_area: int | None = None
    predicted_boxes: tuple[ResultBox, ...] | None = None
    predicted_mask_uri: str | None = None
    map_histogram: MapHistogram | None = None

    @property
    def has_mask(self) -> bool:
        """Whether a true mask is present."""
        return self.true_mask_uri is not None
