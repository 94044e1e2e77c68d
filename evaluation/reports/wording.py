"""What every number is called, and means, in one line."""

from __future__ import annotations

import math
from dataclasses import dataclass

from millsight.evaluation.metrics import Estimate


@dataclass(frozen=True, slots=True)
class Wording:
    """How a metric is shown.

    Attributes:
        label: Its name.
        meaning: What it says, in one line.
        lower_is_better: Whether a smaller number is the better one.
        percent: Whether it is a share, shown in percent.
    """

    label: str
    meaning: str
    lower_is_better: bool = False
    percent: bool = True

    def text(self, value: float) -> str:
        """Spell a value, ``-`` where it is undefined."""
        if math.isnan(value):
            return "-"
        return f"{100 * value:.1f}" if self.percent else f"{value:.4g}"

    def gap(self, value: float) -> str:
        """Spell a difference, sign first."""
        text = self.text(value)
        return text if text.startswith("-") else f"+{text}"

    def interval(self, number: Estimate) -> str:
        """Spell an interval, empty where none was drawn."""
        if math.isnan(number.low):
            return ""
        return f"{self.text(number.low)} to {self.text(number.high)}"

    def verdict(self, gap: Estimate) -> str:
        """``better`` or ``worse`` where a difference's interval excludes 0, else empty."""
        if not (gap.low > 0 or gap.high < 0):
            return ""
        return "better" if (gap.value < 0) == self.lower_is_better else "worse"


METRICS = {
    "image_auroc": Wording(
        "Image AUROC", "A random defective picture scores higher than a random good one."
    ),
    "image_ap": Wording("Image AP", "Precision averaged over recall, of picture scores."),
    "image_f1_max": Wording("Image F1-max", "Best F1 of the picture scores over all thresholds."),
    "pixel_auroc": Wording("Pixel AUROC", "As image AUROC, of pixels."),
    "pixel_ap": Wording("Pixel AP", "Precision averaged over recall, of pixels."),
    "pixel_f1_max": Wording("Pixel F1-max", "Best F1 of the pixels over all thresholds."),
    "aupro": Wording("AUPRO", "Share of each true region found, at up to 30 % false pixels."),
    "seg_miou": Wording(
        "Seg_mIoU", "Mean mask IoU over defective and stopped pictures; a wrong decision counts 0."
    ),
    "seg_recall": Wording(
        "Seg_Recall", "Defective pictures that are stopped with the mask on the defect."
    ),
    "seg_recall_10": Wording("Seg_Recall, IoU > 0.1", "The same, with a mask IoU above 0.1."),
    "seg_recall_30": Wording("Seg_Recall, IoU > 0.3", "The same, with a mask IoU above 0.3."),
    "seg_recall_50": Wording("Seg_Recall, IoU > 0.5", "The same, with a mask IoU above 0.5."),
    "seg_recall_area": Wording("Seg_Recall by area", "Mean share of the defect's pixels found."),
    "sample_precision": Wording("Precision", "Stopped pictures that are defective."),
    "sample_recall": Wording("Recall", "Defective pictures that are stopped."),
    "sample_f1": Wording("Sample F1", "Harmonic mean of precision and recall."),
    "sample_fpr": Wording("False-positive rate", "Good pictures that are stopped.", True),
    "escape_rate": Wording("Escape rate", "Defective parts that are shipped.", True),
    "overkill_rate": Wording("Over-kill rate", "Good parts that are stopped.", True),
    "cost": Wording("Cost per part", "Mean, at the stated unit costs.", True, percent=False),
    "pooled_miou": Wording("Pooled IoU", "IoU of all pixels of all pictures together."),
    "sample_miou": Wording("Mean IoU", "Mean mask IoU of all pictures; two empty masks count 1."),
    "map_50": Wording("mAP@.5", "COCO's mean average precision of boxes at IoU 0.5."),
    "map_50_95": Wording("mAP@.5:.95", "The same, averaged over IoU 0.5 to 0.95."),
    "ar_1": Wording("AR@1", "COCO's mean recall with one box per picture and class."),
    "ar_10": Wording("AR@10", "The same with ten boxes."),
    "ar_100": Wording("AR@100", "COCO's mean recall with a hundred boxes per picture and class."),
    "accuracy": Wording("Accuracy", "Pictures whose class is called right."),
    "mean_class_accuracy": Wording("Mean class accuracy", "Mean of the classes' recalls."),
    "macro_f1": Wording("Macro F1", "Mean of the classes' F1."),
    "ece": Wording(
        "Calibration error", "Gap between stated confidence and share of right calls (ECE).", True
    ),
    "brier": Wording("Brier score", "Squared error of the stated probabilities.", True, False),
    "precision": Wording("Precision", "Calls of this class that are right."),
    "recall": Wording("Recall", "Pictures of this class that are called so."),
    "f1": Wording("F1", "Harmonic mean of the two."),
}
