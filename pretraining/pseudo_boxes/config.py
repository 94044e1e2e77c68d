"""Settings of ``millsight boxes`` and what they resolve to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from millsight.platform.errors import UserError
from millsight.platform.tracking import TrackingConfig

Compat = Literal["paper", "official"]
MARGIN, BANK_MARGIN = 0.1, 0.02
NMS_IOU = 0.5
OFFICIAL_NMS_IOU = 0.8


@dataclass(frozen=True, slots=True)
class BoxSettings:
    """What decides the boxes of a map, once its category's thresholds are known.

    Attributes:
        compat: ``"paper"``, or ``"official"`` for the released code with its quirks.
        margin: Subtracted from the mean of the maps' maxima to give T_c (eq. 10), in units of M.
        tau: A picture with S < tau is normal; ``None`` for Otsu's threshold per category.
        max_boxes: Boxes kept per picture by score, before non-maximum suppression.
        nms_iou: Of two boxes that overlap more than this, the weaker one goes.
    """

    compat: Compat = "paper"
    margin: float = MARGIN
    tau: float | None = None
    max_boxes: int = 10
    nms_iou: float = NMS_IOU


@dataclass
class BoxesConfig:
    """Settings of ``millsight boxes``.

    Attributes:
        maps: Directory of a maps artifact, as `millsight extract` printed it.
        data: Folder or catalog that knows the pictures' masks; compares the maps with them.
        layout: How the folder is laid out; auto finds out by inspection.
        output: Directory of the result; named after its fingerprint within workspace by default.
        workspace: Directory to write under.
        tau: Pictures that score below it are normal; Otsu's threshold per category by default.
        margin: How far below the mean of the maps' maxima a category's threshold lies, in units of
            M; by default the paper's 0.1, and 0.02 for maps of a memory bank alone, which span
            about a third of the range (chosen on the training splits of two sets: see README.md).
        max_boxes: Boxes kept per picture, before non-maximum suppression.
        nms_iou: Overlap at which the weaker box goes; 0.5, or 0.8 with compat official.
        compat: paper, or official for the released code with its quirks.
        tracking: Who is told.
    """

    maps: str
    data: str | None = None
    layout: str = "auto"
    output: str | None = None
    workspace: str = "millsight-runs"
    tau: float | None = None
    margin: float | None = None
    max_boxes: int = 10
    nms_iou: float | None = None
    compat: Compat = "paper"
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def build(self, *, with_text: bool = True) -> BoxSettings:
        """Resolve the settings that decide the boxes.

        Args:
            with_text: The maps have a text term, Z, beside the memory bank's.

        Raises:
            UserError: With every setting that makes no sense.
        """
        problems = []
        if self.compat == "official" and self.tau is not None:
            problems.append("--tau: the released code has no gate; leave it out or --compat paper")
        if self.max_boxes < 1:
            problems.append(f"--max_boxes {self.max_boxes}: must be at least 1")
        nms_iou = self.nms_iou
        if nms_iou is None:
            nms_iou = OFFICIAL_NMS_IOU if self.compat == "official" else NMS_IOU
        if not 0 < nms_iou <= 1:
            problems.append(f"--nms_iou {nms_iou}: must lie above 0 and at most at 1")
        if problems:
            raise UserError("\n".join(problems))
        margin = self.margin
        if margin is None:
            margin = MARGIN if with_text or self.compat == "official" else BANK_MARGIN
        return BoxSettings(self.compat, margin, self.tau, self.max_boxes, nms_iou)
