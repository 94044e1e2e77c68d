"""YOLOv8 on its three kinds of backbones, where ultralytics is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from millsight.platform.errors import UserError
from millsight.platform.weights.csp_darknet import require_ultralytics
from millsight.pretraining.detector.interface import DetectionBatch
from millsight.pretraining.detector.stages import BackboneChoice, build_network, last_stages
from millsight.pretraining.detector.yolo import YoloConfig, YoloDetector
from millsight.pretraining.detector.yolo_network import describe, stage_ends

SIDE = 64
INSTALLED = importlib.util.find_spec("ultralytics") is not None
needs_ultralytics = pytest.mark.skipif(not INSTALLED, reason="ultralytics is not installed")
READ = """
import sys, torch
from ultralytics import YOLO
torch.set_num_threads(1)
model = YOLO(sys.argv[1])
picture = torch.load(sys.argv[2])
found = model.predict(picture, imgsz=64, conf=0.001, iou=0.7, max_det=100, verbose=False)[0].boxes
torch.save([found.xyxy, found.conf, [model.names[int(c)] for c in found.cls]], sys.argv[3])
"""


def build(architecture: str | None, n_classes: int = 1) -> YoloDetector:
    torch.manual_seed(0)
    choice = None if architecture is None else BackboneChoice(architecture)
    return YoloDetector(choice, n_classes, YoloConfig("n", SIDE))


@pytest.mark.skipif(INSTALLED, reason="ultralytics is installed")
def test_without_ultralytics_the_way_out_is_named() -> None:
    with pytest.raises(UserError, match=r"pip install 'millsight\[ultralytics\]'.*AGPL"):
        build(None)


def test_unknown_backbones_and_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="CSPDarknet"):
        describe(BackboneChoice("tf_efficientnet_lite0"), "n", 1)
    with pytest.raises(UserError, match="multiple of 32"):
        YoloDetector(None, 1, YoloConfig(image_size=100))


@needs_ultralytics
def test_the_licence_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    require_ultralytics.cache_clear()
    build(None)
    assert "AGPL-3.0" in capsys.readouterr().err


@needs_ultralytics
@pytest.mark.parametrize("architecture", ["resnet18", "swin_tiny_patch4_window7_224"])
def test_timms_weights_give_timms_features(architecture: str) -> None:
    detector, network = build(architecture), build_network(architecture).eval()
    account = detector.load_backbone(network.state_dict())
    state = detector.backbone_state()
    assert set(account.skipped) <= {"norm.weight", "norm.bias"}
    assert set(account.loaded) == set(state)
    assert all(torch.equal(state[name], network.state_dict()[name]) for name in state)
    picture = torch.rand(1, 3, 224, 224)
    choice = BackboneChoice(architecture)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (choice.mean, choice.std))
    indices = [stage.index for stage in last_stages(network, 3)]
    layers = detector.eval().model.model
    with torch.no_grad():
        outputs = layers[1](layers[0](picture))
        expected = network.forward_intermediates(
            (picture - mean) / std, indices=indices, output_fmt="NCHW", intermediates_only=True
        )
    for end, theirs in zip(stage_ends(architecture)[-3:], expected, strict=True):
        ours = outputs[end].permute(0, 3, 1, 2) if "swin" in architecture else outputs[end]
        assert torch.allclose(ours, theirs, atol=1e-4)


@needs_ultralytics
def test_lower_stages_and_norms_of_a_resnet_never_learn() -> None:
    detector = build("resnet18").train()
    before = detector.backbone_state()
    nothing = [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)]
    batch = DetectionBatch([torch.rand(3, SIDE, SIDE)] * 2, nothing[0] * 2, nothing[1] * 2)
    optimizer = torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], lr=0.1)
    torch.stack(list(detector.losses(batch).values())).sum().backward()
    optimizer.step()
    after = detector.backbone_state()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.partition(".")[0] for name in changed} == {"layer2", "layer3", "layer4"}
    assert not [name for name in changed if "bn" in name]


@needs_ultralytics
@pytest.mark.parametrize("architecture", [None, "resnet18"])
def test_another_process_with_ultralytics_alone_predicts_the_same(
    architecture: str | None, tmp_path: Path
) -> None:
    detector = build(architecture)
    detector.reset_classes(2)
    with torch.no_grad():
        for parameter in detector.model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    picture = torch.rand(3, SIDE, SIDE)
    torch.save(picture[None], tmp_path / "picture.pt")
    detector.save(str(tmp_path / "model.pt"), ["crack", "dent"])
    files = [str(tmp_path / name) for name in ("model.pt", "picture.pt", "found.pt")]
    subprocess.run([sys.executable, "-c", READ, *files], check=True, cwd=tmp_path)
    boxes, scores, names = torch.load(tmp_path / "found.pt")
    found = detector.predict([picture])[0]
    n = min(5, len(scores))
    assert n > 0
    assert torch.allclose(found.scores[:n], scores[:n], atol=1e-4)
    assert torch.allclose(found.boxes[:n], boxes[:n], atol=1e-2)
    assert [("crack", "dent")[label] for label in found.labels[:n]] == names[:n]
