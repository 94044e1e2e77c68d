"""Exported backbones open in timm, in torchvision and here, and predict the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import timm
import torch

from millsight.platform.weights import build_model, load_weights
from millsight.platform.weights.saving import TORCHVISION_FILE
from millsight.pretraining.backbone.export import export_backbone
from millsight.pretraining.backbone.stages import build_backbone

PICTURES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def changed(source: str, folder: Path) -> torch.Tensor:
    """Export a network that differs from what it was loaded from; return its pooled features."""
    loaded = load_weights(source)
    backbone = build_backbone(loaded).eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.mul_(1.01)
    export_backbone(backbone, loaded, str(folder))
    with torch.no_grad():
        pooled: torch.Tensor = backbone.network(PICTURES)
    return pooled


def test_timm_reads_it_strictly_and_so_does_every_command(tmp_path: Path) -> None:
    pooled = changed("embedded:efficientnet-lite0", tmp_path)
    network = timm.create_model(
        "tf_efficientnet_lite0",
        num_classes=0,
        checkpoint_path=str(tmp_path / "model.safetensors"),
    ).eval()
    ours = load_weights(f"path:{tmp_path}")
    assert ours.config["pretrained_cfg"]["mean"] == [127 / 255] * 3
    with torch.no_grad():
        assert torch.equal(network(PICTURES), pooled)
        assert torch.equal(build_model(ours)(PICTURES), pooled)
    assert not (tmp_path / TORCHVISION_FILE).exists()


SCRIPT = """
import sys, torch, torchvision
from safetensors.torch import load_file
network = torchvision.models.resnet18(weights=None).eval()
left = network.load_state_dict(load_file(sys.argv[1]), strict=False)
assert left.missing_keys == ["fc.weight", "fc.bias"] and not left.unexpected_keys, left
network.fc = torch.nn.Identity()
pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    torch.save(network(pictures), sys.argv[2])
"""


def test_torchvision_reads_a_resnet_in_a_fresh_process(tmp_path: Path) -> None:
    pooled = changed("random:timm:resnet18?seed=0", tmp_path)
    answer = tmp_path / "pooled.pt"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / TORCHVISION_FILE), str(answer)]
    subprocess.run(command, check=True)
    assert torch.allclose(torch.load(answer, weights_only=True), pooled, atol=1e-5)
