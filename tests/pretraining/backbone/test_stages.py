"""Frozen stages stay as they are to the last bit; the others learn."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from millsight.platform.errors import UserError
from millsight.platform.weights import load_weights
from millsight.pretraining.backbone.stages import StagedBackbone, build_backbone

FAMILIES = {
    "resnet18": ("layer1", "layer3"),
    "tf_efficientnet_lite0": ("blocks.2", "blocks.3"),
    "swin_tiny_patch4_window7_224": ("layers.1", "layers.2"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_changes_the_upper_stages_alone(name: str) -> None:
    torch.manual_seed(0)
    backbone = StagedBackbone(timm.create_model(name, pretrained=False)).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    final, stages = backbone(torch.rand(2, 3, 224, 224))
    assert [stage.shape[-2:] for stage in stages] == [(14, 14), (7, 7)]
    (sum(stage.square().mean() for stage in stages) + final.mean()).backward()
    optimizer.step()
    changed = {k for k, v in backbone.state_dict().items() if not torch.equal(v, before[k])}
    lower, upper = (f"network.{stage}." for stage in FAMILIES[name])
    stem = ("network.conv1.", "network.bn1.", "network.conv_stem.", "network.patch_embed.")
    assert not [key for key in changed if key.startswith((lower, *stem))]
    assert [key for key in changed if key.startswith(upper)]


def test_batch_statistics_of_frozen_stages_are_not_used() -> None:
    backbone = StagedBackbone(timm.create_model("resnet18", pretrained=False)).train()
    norms = {n: m.training for n, m in backbone.network.named_modules() if "bn" in n}
    assert not any(training for name, training in norms.items() if name[:6] in ("bn1", "layer1"))
    assert all(training for name, training in norms.items() if name.startswith("layer3"))


def test_without_freezing_everything_learns() -> None:
    backbone = StagedBackbone(timm.create_model("resnet18", pretrained=False), freeze=False)
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_normalisation_is_the_weights_own_and_what_was_loaded_is_not_touched() -> None:
    loaded = load_weights("embedded:efficientnet-lite0")
    backbone = build_backbone(loaded)
    assert backbone.mean.flatten().tolist() == pytest.approx([127 / 255] * 3)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(1)
    assert build_backbone(loaded).state_dict().keys() == backbone.state_dict().keys()
    names = set(backbone.network.state_dict())
    assert names == set(loaded.state_dict)
    name = "conv_stem.weight"
    assert not torch.equal(loaded.state_dict[name], backbone.network.state_dict()[name])


def test_other_networks_are_refused() -> None:
    with pytest.raises(UserError, match="open_clip"):
        build_backbone(load_weights("embedded:micro-clip"))
    with pytest.raises(UserError, match="no stages"):
        StagedBackbone(nn.Linear(1, 1))
    with pytest.raises(UserError, match="--stages 9"):
        StagedBackbone(timm.create_model("resnet18", pretrained=False), trained=9)
