"""Model selection of detectors: by mAP@.5:.95 on the pictures of validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from millsight.evaluation.metrics.box_matches import PictureBoxes
from millsight.evaluation.metrics.detection import evaluate_boxes
from millsight.evaluation.metrics.results import BootstrapConfig
from millsight.platform.training import Log
from millsight.pretraining.detector.interface import Detections, Detector
from millsight.pretraining.detector.pictures import BoxedPicture
from millsight.pretraining.selection import BestWeights


class Selection(BestWeights):
    """Judges every validation by mAP@.5:.95; see ``BestWeights``.

    Args:
        pictures: Of validation, in the order in which they are shown.
        classes: Names, by label.
        address: Of the file that gets the best weights.
        patience: Validations without a better one after which training ends; 0 never ends it.
        log: Told of every validation.
    """

    metric: ClassVar[str] = "map_50_95"

    def __init__(
        self,
        pictures: Sequence[BoxedPicture],
        classes: Sequence[str],
        address: str,
        patience: int,
        log: Log,
    ) -> None:
        super().__init__(address, patience, log)
        self._pictures, self._classes = pictures, classes
        self._found: list[Detections] = []

    def collect(self, outputs: Any) -> None:
        """Take what was found in the pictures of a batch."""
        self._found += [Detections(*(tensor.cpu() for tensor in one)) for one in outputs["found"]]

    def forget(self) -> None:
        """Begin anew."""
        self._found = []

    def judge(self) -> dict[str, float]:
        """See ``judge``."""
        return judge(self._pictures, self._found, self._classes)

    def network(self, module: Any) -> nn.Module:
        """Return the detector."""
        detector: Detector = module.detector
        return detector


def judge(
    pictures: Sequence[BoxedPicture], found: Sequence[Detections], classes: Sequence[str]
) -> dict[str, float]:
    """Return ``map_50`` and ``map_50_95`` of what was found, NaN without a true box.

    Args:
        pictures: With their true boxes.
        found: One entry per picture.
        classes: Names, by label.
    """
    rows = [
        PictureBoxes(item.boxes, item.labels, *(tensor.numpy() for tensor in one))
        for item, one in zip(pictures, found, strict=True)
    ]
    judged = evaluate_boxes(rows, classes, bootstrap=BootstrapConfig(n_resamples=0)).all
    return {"map_50": judged.map_50.value, "map_50_95": judged.map_50_95.value}
