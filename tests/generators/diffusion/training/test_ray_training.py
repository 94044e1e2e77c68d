"""Ray Train ends as this process does."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from millsight.generators.diffusion.training.commands import GenerateTrainConfig, train
from millsight.platform.executors.training import TrainingExecutionConfig
from millsight.platform.tracking import TrackingConfig

FILES = ("learned_embeds.safetensors", "pytorch_lora_weights.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ray_train_ends_with_the_adapter_of_this_process(
    defects, tiny_sd, settings, tmp_path, ray_session
):
    made = {}
    for name, execution in (
        ("local", TrainingExecutionConfig()),
        ("ray", TrainingExecutionConfig("ray")),
    ):
        config = GenerateTrainConfig(
            data=str(defects),
            workspace=str(tmp_path / name),
            training=replace(settings, base=str(tiny_sd), steps=4, check_every=2),
            accelerator="cpu",
            threads=1,
            tracking=TrackingConfig(wandb="disabled", directory=str(tmp_path / "tracking")),
            execution=execution,
        )
        made[name] = train(config).artifact
    local, ray = made["local"], made["ray"]
    assert {path.name for path in Path(ray.path).iterdir()} >= set(FILES)
    assert ray.fingerprint == local.fingerprint
    for file in FILES:
        wanted, found = (load_file(Path(own.path) / file) for own in (local, ray))
        for name, tensor in wanted.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)
    # What is found is compared in float32 features of pictures that round otherwise.
    assert ray.manifest["metrics"]["best_step"] == local.manifest["metrics"]["best_step"]
    kids = [own.manifest["metrics"]["val_kid"] for own in (local, ray)]
    assert kids[0] == pytest.approx(kids[1], rel=1e-3)
