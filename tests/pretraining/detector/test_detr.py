"""Detection transformers: their losses, and the folder they are saved in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForObjectDetection

from millsight.platform.errors import UserError
from millsight.pretraining.detector.detr import DetrDetector
from millsight.pretraining.detector.detr_config import DetrConfig, Variant
from millsight.pretraining.detector.interface import DetectionBatch
from millsight.pretraining.detector.stages import BackboneChoice

SIDE = 64
CLASSES = ["crack", "dent", "scratch"]
READ = """
import json, sys, torch
from transformers import AutoImageProcessor, AutoModelForObjectDetection
torch.set_num_threads(1)
picture = torch.load(sys.argv[1])
for folder in sys.argv[2:]:
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForObjectDetection.from_pretrained(folder).eval()
    with torch.no_grad():
        found = model(**processor(images=picture, return_tensors="pt"))
    sizes = [tuple(picture.shape[-2:])]
    found = processor.post_process_object_detection(found, threshold=0.0, target_sizes=sizes)[0]
    named = [model.config.id2label[int(label)] for label in found["labels"]]
    print(json.dumps([found["scores"].tolist(), found["boxes"].tolist(), named]))
"""


def build(variant: Variant, n_classes: int = 2) -> DetrDetector:
    torch.manual_seed(0)
    choice = BackboneChoice("resnet10t", (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    config = DetrConfig(variant, SIDE, 32, feedforward=32, decoder_layers=2, queries=8, denoising=4)
    return DetrDetector.build(choice, n_classes, config)


@pytest.mark.slow
def test_another_process_with_transformers_alone_predicts_the_same(tmp_path: Path) -> None:
    picture = torch.randint(0, 256, (3, SIDE, SIDE), dtype=torch.uint8)
    torch.save(picture, tmp_path / "picture.pt")
    detectors = {"rtdetr_v2": build("rtdetr_v2"), "d_fine": build("d_fine")}
    for name, detector in detectors.items():
        detector.reset_classes(3)
        with torch.no_grad():
            # Fresh heads are zero in places, and would hide what lies before them.
            for parameter in detector.model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        detector.save(str(tmp_path / name), CLASSES)
    files = [str(tmp_path / name) for name in ("picture.pt", *detectors)]
    command = [sys.executable, "-c", READ, *files]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()[-2:]
    for (name, detector), line in zip(detectors.items(), lines, strict=True):
        scores, boxes, names = json.loads(line)
        found = detector.predict([picture / 255])[0]
        n = len(scores)
        assert n == 8
        assert torch.allclose(found.scores[:n], torch.tensor(scores), atol=1e-5)
        assert torch.allclose(found.boxes[:n], torch.tensor(boxes).clamp(0, SIDE), atol=1e-2)
        assert [CLASSES[label] for label in found.labels[:n]] == names
        again = DetrDetector.load(str(tmp_path / name))
        assert again.choice.mean == pytest.approx(detector.choice.mean)
        assert torch.allclose(again.predict([picture / 255])[0].boxes, found.boxes, atol=1e-3)


def test_terms_add_up_to_the_librarys_loss() -> None:
    detector = build("d_fine").train()
    batch = DetectionBatch(
        [torch.rand(3, 48, 96)],
        [torch.tensor([[24.0, 12.0, 48.0, 36.0]])],
        [torch.tensor([1])],
    )
    torch.manual_seed(1)
    terms = detector.losses(batch)
    assert terms.keys() == {"class", "box", "giou", "fine_box", "distill_box", "denoising"}
    assert terms["denoising"] > 0
    torch.manual_seed(1)
    labels = [{"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.375, 0.5, 0.25, 0.5]])}]
    whole = detector.model(pixel_values=detector._prepare(batch.pictures), labels=labels).loss
    assert torch.stack(list(terms.values())).sum().item() == pytest.approx(whole.item(), rel=1e-4)


def test_fresh_norms_let_features_through() -> None:
    detector = build("rtdetr_v2")
    norms = [
        m for m in detector.model.model.encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)
    ]
    assert norms
    assert all((norm.weight == 1).all() for norm in norms)


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        DetrDetector.load(str(tmp_path))
    with pytest.raises(UserError, match="multiple of 32"):
        DetrDetector.build(BackboneChoice("resnet10t"), 1, DetrConfig(image_size=100))


def test_class_layers_that_were_shared_stay_shared() -> None:
    detector = build("rtdetr_v2")
    detector.reset_classes(5)
    model = detector.model
    assert model.class_embed[0].weight is model.model.decoder.class_embed[0].weight
    assert isinstance(model, type(AutoModelForObjectDetection.from_config(model.config)))
