"""The model card: what a detector finds, how other libraries open it, and what it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from millsight.platform import storage
from millsight.platform.fingerprints import Input
from millsight.platform.weights import LoadedWeights
from millsight.platform.weights.csp_darknet import LICENCE
from millsight.platform.weights.saving import torchvision_tensors
from millsight.pretraining.detector.detr import DetrDetector
from millsight.pretraining.detector.faster_rcnn import ROI_SIDE, FasterRCNNDetector
from millsight.pretraining.detector.interface import Detector
from millsight.pretraining.detector.yolo import YoloDetector
from millsight.pretraining.model_card import lineage, number_table, settings_block

CARD_FILE = "README.md"
TORCHVISION = """\
from safetensors.torch import load_file
from torchvision.models import {architecture}
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead

layers = {{"layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"}}
model = FasterRCNN(
    BackboneWithFPN({architecture}(), layers, {channels}, {width}),
    rpn_anchor_generator=AnchorGenerator({sizes}, {ratios}),
    rpn_post_nms_top_n_test={proposals},
    box_head=TwoMLPHead({n_features}, {head_width}),
    box_predictor=FastRCNNPredictor({head_width}, {n_classes}),
    box_score_thresh={min_score},
    min_size={min_size},
    max_size={max_size},
    image_mean={mean},
    image_std={std},
).eval()
model.load_state_dict(load_file("model.safetensors"))  # its labels start at 1
"""
TRANSFORMERS = """\
from transformers import AutoImageProcessor, AutoModelForObjectDetection

processor = AutoImageProcessor.from_pretrained(".")
model = AutoModelForObjectDetection.from_pretrained(".").eval()
"""
ULTRALYTICS = """\
from ultralytics import YOLO

model = YOLO("model.pt")
"""


MILLSIGHT = """\
from millsight.pretraining.detector.export import load_detector

model = load_detector(".")
"""


@dataclass(frozen=True)
class Provenance:
    """What a detector comes from.

    Attributes:
        start: Weights that its backbone started from; ``None`` if none, or those of a detector
            among ``inputs``.
        inputs: The artifact's, by role: boxes, labelled pictures, a pretrained detector.
        settings: What training was told, a dataclass.
    """

    start: LoadedWeights | None
    inputs: Mapping[str, Input]
    settings: Any


def write_card(
    address: str,
    detector: Detector,
    class_names: Sequence[str],
    provenance: Provenance,
    metrics: Mapping[str, Any],
) -> None:
    """Write the card.

    Args:
        address: Of the file.
        detector: Trained.
        class_names: By label.
        provenance: What it comes from.
        metrics: Measured numbers.
    """
    start = provenance.start
    begun = "" if start is None else f"`{start.source}`, tensors' SHA-256 `{start.sha256[:16]}`"
    title, licence, opening = _family(detector)
    text = f"""# {title}: {", ".join(class_names)}

- **Finds** {len(class_names)} classes, by label: {", ".join(class_names)}.
- **Backbone started from**: {begun or "what is named below, or random numbers"}.
- **Licence**: {licence} The pictures and the weights it started from have licences of their own.
- **Open it**, in this directory:

```python
{opening}```

Made from:

{lineage(provenance.inputs)}

{number_table(metrics)}

Settings:

{settings_block(provenance.settings)}
"""
    storage.write_bytes(address, text.encode())


def _family(detector: Detector) -> tuple[str, str, str]:
    """Return title, licence of the network's code, and the code that opens it."""
    match detector:
        case YoloDetector():
            backbone = "CSPDarknet" if detector.choice is None else detector.choice.architecture
            return f"YOLOv8 on {backbone}", LICENCE, ULTRALYTICS
        case DetrDetector():
            name = type(detector.model).__name__.removesuffix("ForObjectDetection")
            licence = "the network is transformers' code, Apache-2.0."
            return f"{name} on {detector.choice.architecture}", licence, TRANSFORMERS
        case FasterRCNNDetector():
            licence = "the network is torchvision's code, BSD-3-Clause."
            architecture = detector.choice.architecture
            return f"Faster R-CNN on {architecture}", licence, _torchvision(detector)
    raise TypeError(type(detector).__name__)


def _torchvision(detector: FasterRCNNDetector) -> str:
    """Return code that opens the file in torchvision, if that has the backbone."""
    choice, config = detector.choice, detector.config
    if torchvision_tensors(choice.architecture, detector.backbone_state()) is None:
        return MILLSIGHT
    anchors = detector.model.rpn.anchor_generator
    channels = [block[0].in_channels for block in detector.model.backbone.fpn.inner_blocks]
    return TORCHVISION.format(
        **asdict(config),
        architecture=choice.architecture.partition(".")[0],
        channels=channels,
        sizes=anchors.sizes,
        ratios=anchors.aspect_ratios,
        n_features=config.width * ROI_SIDE**2,
        n_classes=detector.n_classes + 1,
        mean=list(choice.mean),
        std=list(choice.std),
    )
