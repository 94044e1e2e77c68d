"""What users take home opens here and, by the card's own words, without millsight."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from tiny_detectors import ALL, SIDE, Build, detr, disturbed, faster_rcnn, needs_ultralytics, yolo
from torch import Tensor

from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input
from millsight.platform.weights import load_weights
from millsight.pretraining.detector.card import Provenance
from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.detr import DetrDetector
from millsight.pretraining.detector.export import (
    load_detector,
    read_class_names,
    save_backbone,
    save_detector,
)
from millsight.pretraining.detector.interface import Detections, Detector
from millsight.pretraining.detector.release import release
from millsight.pretraining.detector.stages import BackboneChoice
from millsight.pretraining.detector.yolo import YoloDetector

CLASSES = ["crack", "dent"]
START = "random:timm:resnet18?seed=0"


def picture() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return noise.float() / 255


def same(one: Detections, other: Detections) -> bool:
    return all(torch.equal(*pair) for pair in zip(one, other, strict=True))


@pytest.mark.parametrize("build", ALL)
def test_a_folder_gives_the_detector_back(build: Build, tmp_path: Path) -> None:
    detector = disturbed(build)
    names = save_detector(detector, str(tmp_path), CLASSES)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    again = load_detector(str(tmp_path))
    (wanted,), (found,) = (one.predict([picture()]) for one in (detector, again))
    assert len(wanted.boxes) > 0
    assert same(found, wanted)
    assert not again.training
    assert read_class_names(str(tmp_path)) == CLASSES
    learning = [[p.requires_grad for p in one.parameters()] for one in (detector, again)]
    assert learning[0] == learning[1]


@pytest.mark.parametrize("build", [faster_rcnn, detr("rtdetr_v2")])
def test_a_folder_may_lie_elsewhere(build: Build) -> None:
    detector = disturbed(build)
    save_detector(detector, "memory://kept/detector", CLASSES)
    again = load_detector("memory://kept/detector")
    assert same(again.predict([picture()])[0], detector.predict([picture()])[0])


# The code of the card, and then this.
PREDICT = {
    "faster_rcnn": """
with torch.no_grad():
    found = model([picture])[0]
answer = found["boxes"], found["labels"] - 1, found["scores"]
""",
    "detr": """
with torch.no_grad():
    found = model(**processor(images=(picture * 255).byte(), return_tensors="pt"))
sizes = [tuple(picture.shape[-2:])]
found = processor.post_process_object_detection(found, threshold=0.0, target_sizes=sizes)[0]
assert model.config.id2label == {0: "crack", 1: "dent"}
answer = found["boxes"], found["labels"], found["scores"]
""",
    "yolo": """
settings = {"imgsz": 64, "conf": 0.001, "iou": 0.7, "max_det": 100, "verbose": False}
found = model.predict(picture[None], **settings)[0].boxes
assert model.names == {0: "crack", 1: "dent"}
answer = found.xyxy, found.cls.long(), found.conf
""",
}
BEFORE = """
import sys, onnxruntime, timm, torch
torch.set_num_threads(1)
picture = torch.load("picture.pt")
"""
AFTER = """
session = onnxruntime.InferenceSession("model.onnx")
onnx = [torch.from_numpy(value) for value in session.run(None, {"picture": picture.numpy()})]
weights = "backbone/model.safetensors"
network = timm.create_model("resnet18", num_classes=0, checkpoint_path=weights).eval()
with torch.no_grad():
    features = network.forward_features(picture[None])
assert not [name for name in sys.modules if name.startswith("millsight")]
torch.save([answer, onnx, features], "answers.pt")
"""


@pytest.mark.parametrize(
    ("family", "build"),
    [
        pytest.param("faster_rcnn", faster_rcnn, marks=pytest.mark.slow),
        pytest.param("detr", detr("rtdetr_v2"), marks=pytest.mark.slow),
        pytest.param("yolo", yolo, marks=needs_ultralytics),
    ],
)
def test_the_cards_words_open_it_in_another_process_without_millsight(
    family: str, build: Build, tmp_path: Path
) -> None:
    start = load_weights(START)
    choice = BackboneChoice("resnet18", (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    detector = disturbed(build, choice)
    provenance = Provenance(start, {"boxes": Input("0" * 64, "b")}, DetectorTrainingConfig())
    others = [] if detector.input_size else [torch.rand(3, 70, 100)]
    added = release(
        detector,
        str(tmp_path),
        CLASSES,
        provenance=provenance,
        metrics={"pictures": 3},
        examples=[picture(), *others],
    )
    assert added["onnx_difference"] < 1e-3
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path)) for path in files} == set(added["files"])
    torch.save(picture(), tmp_path / "picture.pt")
    (opening,) = re.findall(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.S)
    script = BEFORE + opening + PREDICT[family] + AFTER
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    answer, onnx, features = torch.load(tmp_path / "answers.pt")
    wanted = detector.predict([picture()])[0]
    assert len(wanted.boxes) > 0
    for found in (answer, onnx):
        n = min(5, len(found[0]))
        for ours, theirs in zip(wanted, found, strict=True):
            assert torch.allclose(ours[:n].float(), theirs[:n].float(), atol=1e-2), found
    assert torch.allclose(features, last_features(detector), atol=1e-4)


def last_features(detector: Detector) -> Tensor:
    shown, network = picture()[None], detector.backbone
    with torch.no_grad():
        if isinstance(detector, YoloDetector):
            found = detector.model.model[1](shown)[-1]
        elif isinstance(detector, DetrDetector):
            found = network(shown)[-1]
        else:
            found = network.forward_features(shown)
    assert isinstance(found, Tensor)
    return found


def test_layers_that_the_detector_has_no_use_for_stay_as_they_were(tmp_path: Path) -> None:
    start = load_weights("embedded:efficientnet-lite0")
    detector = disturbed(detr("d_fine"), BackboneChoice.of(start))
    assert save_backbone(detector, start, str(tmp_path)) == ["config.json", "model.safetensors"]
    file = str(tmp_path / "model.safetensors")
    timm.create_model("tf_efficientnet_lite0", num_classes=0, checkpoint_path=file)
    written, trained = load_file(file), detector.backbone_state()
    assert all(torch.equal(written[name], tensor) for name, tensor in trained.items())
    others = written.keys() - trained.keys()
    assert {name.partition(".")[0] for name in others} == {"conv_head", "bn2"}
    assert all(torch.equal(written[name], start.state_dict[name]) for name in others)
    assert load_weights(f"path:{tmp_path}").mean == start.mean


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faster_rcnn")
    save_detector(disturbed(faster_rcnn), str(path), CLASSES)
    return path


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["detector"].update(family="fastrcnn"), r"detector\.family: 'fastrcnn'"),
        (lambda d: d["detector"].update(classes="crack"), r"detector\.classes: 'crack'"),
        (lambda d: d["detector"].update(classes=["a", "a"]), r"detector\.classes: different"),
        (lambda d: d["detector"].update(classes=["a"]), "does not fit .*box_predictor"),
        (lambda d: d["detector"].update(schema_version=2), "another version"),
        (lambda d: d.pop("detector"), r"detector\.family: required"),
        (lambda d: d.update(code="import os"), "code: objects are wanted"),
        (lambda d: d["backbone"].update(architecture="resnet9"), "no network called 'resnet9'"),
        (lambda d: d["backbone"].update(architecture="resnet18"), "does not fit"),
        (lambda d: d["backbone"].update(std=[0.2, 0.0, 0.2]), "std above 0"),
        (lambda d: d["backbone"].update(mean=[0.2, 0.2]), r"backbone\.mean"),
        (lambda d: d.update(backbone=None), "only a YOLO"),
        (lambda d: d["settings"].update(min_sze=3), "did you mean min_size"),
        (lambda d: d["settings"].update(width=-1), "does not fit"),
        (lambda d: d["settings"].update(width=10**12), "does not fit"),
    ],
)
def test_a_description_that_was_tampered_with_is_refused(
    folder: Path, tmp_path: Path, change: Change, message: str
) -> None:
    content = json.loads((folder / "detector.json").read_text())
    change(content)
    (tmp_path / "detector.json").write_text(json.dumps(content))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    with pytest.raises(UserError, match=message):
        load_detector(str(tmp_path))


def test_damaged_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no detector"):
        load_detector(str(tmp_path))
    file = tmp_path / "detector.json"
    file.write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        load_detector(str(tmp_path))
    file.write_bytes((folder / "detector.json").read_bytes())
    with pytest.raises(UserError, match="no such weights file"):
        load_detector(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:999])
    with pytest.raises(UserError, match="damaged"):
        load_detector(str(tmp_path))


def test_a_transformers_folder_is_trusted_no_more(tmp_path: Path) -> None:
    save_detector(disturbed(detr("rtdetr_v2")), str(tmp_path), CLASSES)
    description = tmp_path / "detector.json"
    sound = description.read_text()
    description.write_text(sound.replace("resnet10t", "resnet18"))
    with pytest.raises(UserError, match=r"names the backbone 'resnet10t', detector\.json"):
        load_detector(str(tmp_path))
    description.write_text(sound.replace('"dent"', '"dent", "fold"'))
    with pytest.raises(UserError, match="3 classes, the network tells 2"):
        load_detector(str(tmp_path))
    description.write_text(sound)
    weights = tmp_path / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if "decoder" in name)
    save_file({k: v for k, v in tensors.items() if k != name}, weights, {"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 tensors, such as"):
        load_detector(str(tmp_path))
    weights.unlink()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="transformers cannot read it"):
        load_detector(str(tmp_path))


@pytest.mark.parametrize("names", [["crack"], ["crack", "crack"], []])
def test_there_is_one_name_for_each_class(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tells 2 classes apart"):
        save_detector(disturbed(faster_rcnn), str(tmp_path / "none"), names)
    assert not (tmp_path / "none").exists()
