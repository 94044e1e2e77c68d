"""What a report is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics import MapEvaluation
from millsight.evaluation.reports.blocks import TaskSection
from millsight.evaluation.results.verdicts import Verdict

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PredictedMask:
    """A predicted mask of one picture.

    Attributes:
        mask: ``(H, W)`` bool, True where a defect is predicted.
        probability: ``(H, W)`` float32 from 0 to 1; ``None`` where only the mask is known.
    """

    mask: NDArray[np.bool_]
    probability: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """One judged picture. What is loaded is loaded only if the picture is shown.

    Attributes:
        uri: Path or address, shown as text only.
        category: What the threshold and the colour scale belong to.
        label: True for defective, False for normal, ``None`` where it is unknown.
        score: Picture score, higher is more anomalous; ``None`` where there is none.
        picture: Loads the upright picture, ``(H, W, 3)`` uint8 RGB.
        anomaly_map: ``(h, w)``, a patch grid or a map of any size; ``None`` where there is none.
        mask: Loads ``(H, W)`` bool, True on the true defect; ``None`` where it is unknown.
        boxes: Predicted boxes, ``(x0, y0, x1, y1)`` in pixels of the picture, x right, y down.
        defect: Name of the true class, shown beside the label.
        true_boxes: Like ``boxes``.
        predicted: Loads the predicted mask; ``None`` where there is none.
        verdict: What became of the part; ``None`` where truth or decision is not known.
        loss: How bad the prediction is; the worst are shown first.
        remark: A few words on the prediction, such as the class called.
    """

    uri: str
    category: str
    label: bool | None
    score: float | None
    picture: Callable[[], NDArray[np.uint8]]
    anomaly_map: NDArray[np.floating] | None = None
    mask: Callable[[], NDArray[np.bool_]] | None = None
    boxes: Sequence[Box] = ()
    defect: str | None = None
    true_boxes: Sequence[Box] = ()
    predicted: Callable[[], PredictedMask] | None = None
    verdict: Verdict | None = None
    loss: float = 0.0
    remark: str = ""


@dataclass(frozen=True, slots=True)
class ReportLimits:
    """Caps that keep a report a few megabytes, however large the run.

    Attributes:
        n_worst: Pictures per category in each of the worst-first sections.
        n_gallery: Pictures per category in the gallery.
        n_pictures: Pictures in the whole report, worst-first sections served first.
        longest_side: Pixels that a shown picture is reduced to.
        n_rows: Rows of the list of quarantined pictures and of warnings.
    """

    n_worst: int = 8
    n_gallery: int = 12
    n_pictures: int = 96
    longest_side: int = 384
    n_rows: int = 500


@dataclass(frozen=True, slots=True)
class ReportContent:
    """Everything one report says.

    Attributes:
        title: Heading.
        provenance: What made the numbers (encoder, weights source and SHA-256, prompts, k,
            fingerprint): name to value; a value may itself be a mapping or a list.
        pictures: All judged pictures; which are shown is decided by score and label.
        evaluation: Metrics of scores and maps, or ``None`` where nothing is labelled.
        quarantined: ``(uri, reason)`` of every picture that was set aside.
        warnings: Sentences that a reader of the numbers must know.
        sections: Numbers, task by task.
    """

    title: str
    provenance: Mapping[str, object]
    pictures: Sequence[ReportPicture]
    evaluation: MapEvaluation | None = None
    quarantined: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = field(default_factory=tuple)
    sections: Sequence[TaskSection] = ()
