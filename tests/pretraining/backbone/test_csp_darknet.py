"""YOLOv8's backbone through AGBP and on to AGDP, where ultralytics is installed."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from millsight.platform.errors import UserError
from millsight.platform.weights import build_model, load_weights
from millsight.pretraining.backbone.config import BackboneConfig
from millsight.pretraining.backbone.export import export_backbone
from millsight.pretraining.backbone.module import build_module
from millsight.pretraining.backbone.tasks import Views
from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.families import build_detector
from millsight.pretraining.detector.yolo import YoloConfig, YoloDetector

SMALL = "random:ultralytics:yolov8n?seed=3"
INSTALLED = importlib.util.find_spec("ultralytics") is not None
needs_ultralytics = pytest.mark.skipif(not INSTALLED, reason="ultralytics is not installed")


def config(**settings: Any) -> BackboneConfig:
    return BackboneConfig(backbone=SMALL, image_size=64, batch_size=4, **settings)


def views(n_views: int) -> Views:
    torch.manual_seed(1)
    return Views(
        torch.rand(4, n_views, 3, 64, 64), torch.rand(4, n_views, 1, 64, 64), torch.arange(4) % 2
    )


def test_an_untrained_backbone_is_not_frozen() -> None:
    with pytest.raises(UserError, match=r"cspdarknet is untrained.*--training.freeze false"):
        BackboneConfig(backbone="cspdarknet").check()
    whole = BackboneConfig(backbone="cspdarknet", freeze=False, seed=5)
    whole.check()
    assert whole.source == "random:ultralytics:yolov8s?seed=5"


def test_an_unknown_network_or_library_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no ultralytics backbone called 'yolov9s'.*yolov8s"):
        load_weights("random:ultralytics:yolov9s?seed=0")
    settings = {"library": "darknet", "architecture": "yolov8s"}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"config\.json: no library called 'darknet'"):
        load_weights(f"path:{tmp_path}")


@pytest.mark.skipif(INSTALLED, reason="ultralytics is installed")
def test_without_ultralytics_the_way_out_is_named() -> None:
    with pytest.raises(UserError, match=r"pip install 'millsight\[ultralytics\]'"):
        load_weights(SMALL)


@needs_ultralytics
def test_it_computes_what_ultralytics_layers_do() -> None:
    detector = YoloDetector(None, 1, YoloConfig("n", 64)).eval()
    own = detector.backbone.state_dict()
    loaded = replace(load_weights(SMALL), state_dict=own)
    network: Any = build_model(loaded)
    pictures = torch.rand(2, 3, 64, 96)
    final, stages = network.forward_intermediates(pictures, indices=range(5))
    expected, ends = pictures, []
    for number, layer in enumerate(cast(Any, detector.backbone)):
        expected = layer(expected)
        if str(number) in [stage["module"] for stage in network.feature_info]:
            ends.append(expected)
    assert torch.equal(final, expected)
    for stage, end, info in zip(stages, ends, network.feature_info, strict=True):
        assert torch.equal(stage, end)
        assert stage.shape[1:] == (
            info["num_chs"],
            64 // info["reduction"],
            96 // info["reduction"],
        )
    assert network.forward_head(final, pre_logits=True).shape == (2, network.head_hidden_size)


@needs_ultralytics
@pytest.mark.parametrize("task", ["classification", "moco", "simmim"])
def test_a_step_of_agbp_changes_the_upper_stages_alone(task: Any) -> None:
    module = build_module(load_weights(SMALL), config(task=task), 2)
    network = module.task.backbone.network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    output = module.task(views(module.task.n_views))
    (output.loss + sum(stage.square().mean() for stage in output.stages)).backward()
    torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1).step()
    changed = {
        name.partition(".")[0]
        for name, tensor in network.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed - {"head"} == {"5", "6", "7", "8", "9"}
    assert [stage.shape[1] for stage in output.stages] == [128, 256]


@needs_ultralytics
def test_what_was_pretrained_goes_into_a_yolo_and_nowhere_else(tmp_path: Path) -> None:
    start = load_weights(SMALL)
    module = build_module(start, config(task="moco"), 2)
    export_backbone(module.task.backbone, start, str(tmp_path))
    loaded = load_weights(f"path:{tmp_path}")
    settings = DetectorTrainingConfig(family="yolov8", backbone=loaded.source, image_size=64)
    detector, account = build_detector(settings, loaded)
    assert len(account.loaded) == len(loaded.state_dict)
    assert account.skipped == ()
    for name, tensor in detector.backbone_state().items():
        assert torch.equal(tensor, loaded.state_dict[name])
    with pytest.raises(UserError, match=r"is YOLOv8's own; add --training.family yolov8"):
        build_detector(replace(settings, family="faster_rcnn"), loaded)
