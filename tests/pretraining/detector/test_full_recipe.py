"""Every detector that the recipe for a cluster asks for can be built on its backbone."""

from __future__ import annotations

import pytest
import torch

from millsight.platform.recipes import Step, read_recipe
from millsight.pretraining.detector.detr_config import DetrConfig, library_config
from millsight.pretraining.detector.stages import BackboneChoice, build_network, last_stages
from millsight.pretraining.detector.yolo_network import describe

STEPS = read_recipe("agssp-full").steps
TRAINED = [step for step in STEPS if step.command == "experiment detection"]


def of(step: Step) -> tuple[str, str]:
    return step.settings["training.family"], step.settings["training.backbone"]


@pytest.mark.parametrize(("family", "backbone"), sorted(set(map(of, TRAINED))))
def test_family_and_backbone_go_together(family: str, backbone: str) -> None:
    choice = BackboneChoice(backbone.removeprefix("timm:"))
    if family == "yolov8":
        assert describe(choice, "s", 1)["nc"] == 1
    elif family == "faster_rcnn":
        with torch.device("meta"):
            assert len(last_stages(build_network(choice.architecture), 4)) == 4
    else:
        assert library_config(choice, 1, DetrConfig("dino_like")).num_labels == 1


def test_all_modes_are_compared_with_several_seeds() -> None:
    for step in TRAINED:
        names = [start.partition("=")[0] for start in step.settings["starts"]]
        assert [name.split()[2:] for name in names[:2]] == [["scratch"], ["ImageNet"]]
        assert [name.split()[3:] for name in names[2:]] == [[], ["+", "AGBP"], ["+", "AGSSP"]]
        assert len(step.settings["seeds"]) >= 3
    (last,) = (step for step in STEPS if step.command == "experiment table")
    assert len(last.settings["experiments"]) == len(TRAINED)
