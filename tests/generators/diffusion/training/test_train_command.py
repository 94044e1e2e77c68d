import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from millsight.generators.diffusion.adapters import open_adapter
from millsight.generators.diffusion.training.commands import GenerateTrainConfig, train
from millsight.platform.errors import UserError
from millsight.platform.tracking import TrackingConfig


@pytest.fixture
def command(defects, tiny_sd, settings, tmp_path):
    def make(**changes):
        training = replace(settings, base=str(tiny_sd), steps=2, check_every=1)
        given = {
            "data": str(defects),
            "workspace": str(tmp_path / "runs"),
            "training": replace(training, **changes.pop("training", {})),
            "accelerator": "cpu",
            "threads": 1,
            "tracking": TrackingConfig(wandb="disabled", directory=str(tmp_path / "tracking")),
        }
        return GenerateTrainConfig(**given | changes)

    return make


def leftovers(tmp_path):
    runs = tmp_path / "runs"
    return [path.name for path in runs.glob("*") if path.suffix != ".lock"]


def test_the_command_makes_an_adapter_once(command, tiny_base, tmp_path, capsys):
    artifact = train(command()).artifact
    assert {path.name for path in Path(artifact.path).iterdir()} == {
        "adapter.json",
        "artifact.json",
        "learned_embeds.safetensors",
        "pytorch_lora_weights.safetensors",
    }
    adapter = open_adapter(artifact.path, tiny_base)
    assert adapter.card.tokens == {
        "rolled-in_scale": "<rolled-in-scale>",
        "scratch": "<scratch>",
    }
    assert adapter.card.base["license"] == "apache-2.0"
    assert {rows.shape for rows in adapter.embeddings()[0].values()} == {(2, 32)}
    metrics = artifact.manifest["metrics"]
    assert metrics["pictures_learned"] == 6
    assert metrics["pictures_validated"] == 4
    assert metrics["best_step"] in {1, 2}
    assert metrics["features"].startswith("embedded:efficientnet-lite0")
    capsys.readouterr()
    assert train(command(resume=True)).artifact.path == artifact.path
    assert "Trained already" in capsys.readouterr().out


def test_each_class_may_have_an_adapter_of_its_own(command, tmp_path):
    last = train(command(each=True, training={"steps": 1, "rank": 0})).artifact
    cards = [json.loads(file.read_text()) for file in (tmp_path / "runs").glob("*/adapter.json")]
    assert sorted(tuple(card["tokens"]) for card in cards) == [("rolled-in_scale",), ("scratch",)]
    assert not (Path(last.path) / "pytorch_lora_weights.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"labels": ["dent"]}}, "no pictures of 'dent' in the train split"),
        ({"training": {"least_psnr": 60}}, r"autoencoder returns .* dB PSNR, and at least 60 dB"),
        ({"training": {"vectors": 0, "rank": 0}}, "nothing would learn"),
        ({"training": {"steps": 3, "check_every": 2}}, "multiple of check_every"),
        ({"training": {"prompt": "steel"}}, r"needs \{defect\}"),
        ({"each": True, "output": "here"}, "--each makes several"),
        ({"resume": True}, "no run of these settings"),
        ({"training": {"base": "nowhere"}}, "nowhere"),
    ],
)
def test_what_cannot_be_trained_gets_one_message_and_leaves_nothing(
    command, tmp_path, changes, message
):
    with pytest.raises(UserError, match=message):
        train(command(**changes))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("part", "message"), [("vae", "quality cannot be measured"), ("unet", "the loss became nan")]
)
def test_damaged_weights_are_told_and_leave_nothing(command, tiny_sd, tmp_path, part, message):
    base = tmp_path / "damaged"
    for file in (path for path in tiny_sd.rglob("*") if path.is_file()):
        copy = base / file.relative_to(tiny_sd)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    weights = base / part / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    damaged = "conv_in.weight" if part == "unet" else "decoder.conv_in.weight"
    tensors[damaged] = torch.full_like(tensors[damaged], float("nan"))
    save_file(tensors, weights)
    with pytest.raises(UserError, match=message):
        train(command(training={"base": str(base)}))
    assert leftovers(tmp_path) == []
