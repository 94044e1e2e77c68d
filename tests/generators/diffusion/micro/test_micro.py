"""The micro pipeline from rendered pictures to a folder that diffusers opens."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from millsight.generators.diffusion.micro.autoencoder import measure
from millsight.generators.diffusion.micro.config import DenoiserConfig
from millsight.generators.diffusion.micro.denoiser import DescribedLatents
from millsight.generators.diffusion.micro.pictures import MirroredPictures, read_steel
from millsight.generators.diffusion.untrained import Layout, build_untrained
from millsight.platform.cli import main

TRAINING = ["--threads", "1", "--accelerator", "cpu", "--tracking.wandb", "disabled"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("micro")


def command(workspace, *words):
    tracking = ["--tracking.directory", str(workspace / "tracking")]
    return main([*map(str, words), *TRAINING, *tracking])


@pytest.fixture(scope="module")
def steel(workspace):
    folder = workspace / "steel"
    words = ["generate", "procedural", "--count", "40", "--size", "64", "--output", str(folder)]
    assert main(words) == 0
    return folder


@pytest.fixture(scope="module")
def autoencoder(workspace, steel):
    folder = workspace / "autoencoder"
    sizes = ["--training.side", 64, "--training.widths", "[8, 8, 16]", "--training.epochs", 6]
    words = ["--data", steel, "--output", folder, *sizes, "--training.holdout", 0.2]
    words += ["--training.batch_size", 4, "--training.learning_rate", 5e-3]
    assert command(workspace, "pretrain", "autoencoder", *words) == 0
    return folder


@pytest.fixture(scope="module")
def pipeline(workspace, steel, autoencoder):
    folder = workspace / "diffusion"
    sizes = ["--training.widths", "[16, 16]", "--training.text_width", 32, "--training.epochs", 2]
    words = ["--data", steel, "--autoencoder", autoencoder, "--output", folder, *sizes]
    words += [
        "--training.text_layers",
        1,
        "--training.text_steps",
        3,
        "--training.batch_size",
        8,
        "--training.holdout",
        0.2,
    ]
    assert command(workspace, "pretrain", "diffusion", *words) == 0
    return folder / "pipeline"


def test_the_autoencoder_learns(steel, autoencoder):
    _, held_out = read_steel(steel, 64, lambda *_: None).split(0.2)
    untrained = build_untrained(Layout(vae_widths=(8, 8, 16), side=64, groups=8)).vae
    metrics = json.loads((autoencoder / "artifact.json").read_text())["metrics"]
    assert metrics["psnr"] > measure(untrained, held_out)["psnr"] + 3
    assert metrics["held_out"] == len(held_out)


def test_latents_have_unit_spread(steel, autoencoder):
    config = json.loads((autoencoder / "vae" / "config.json").read_text())
    metrics = json.loads((autoencoder / "artifact.json").read_text())["metrics"]
    assert config["scaling_factor"] == pytest.approx(1 / metrics["latent_std"])


def test_plain_diffusers_opens_the_pipeline_in_a_fresh_process(pipeline):
    code = """
import sys, torch, diffusers
pipeline = diffusers.StableDiffusionPipeline.from_pretrained(sys.argv[1], torch_dtype=torch.float32)
pipeline.set_progress_bar_config(disable=True)
generator = torch.Generator().manual_seed(0)
drawn = pipeline("a scratch", num_inference_steps=2, generator=generator, output_type="np").images
assert drawn.shape == (1, 64, 64, 3) and "millsight" not in sys.modules
print(drawn.std())
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(pipeline)], check=True, capture_output=True, text=True
    )
    assert float(ran.stdout) > 0


def test_weights_are_half_floats_and_the_card_names_the_licence(pipeline):
    for part in ("unet", "vae", "text_encoder"):
        (file,) = (pipeline / part).glob("*.safetensors")
        floats = {t.dtype for t in load_file(file).values() if t.is_floating_point()}
        assert floats == {torch.float16}
    assert (pipeline / "README.md").read_text().startswith("---\nlicense: apache-2.0\n")


def test_a_mirrored_picture_keeps_its_mask_in_place(steel):
    data = read_steel(steel, 64, lambda *_: None)
    damaged = next(at for at in range(len(data)) if data.masks[at].any())
    found = MirroredPictures(data, 4.0, seed=0)
    for epoch in range(6):
        pixels, weights = found[epoch, damaged]
        values = np.sort(((pixels[0] + 1) * 127.5).round().numpy()[weights[0].numpy() == 5])
        assert np.array_equal(values, np.sort(data.pictures[damaged][data.masks[damaged]]))


def test_some_latents_come_without_their_sentence():
    sentences = [torch.full((3, 77), 5) + torch.arange(3)[:, None]] * 50
    config = DenoiserConfig(unconditional=0.3)
    data = DescribedLatents(torch.zeros(50, 4, 8, 8), sentences, torch.zeros(77).long(), config)
    first = [int(data[epoch, at]["tokens"][0]) for epoch in range(20) for at in range(50)]
    shares = [first.count(token) / len(first) for token in (0, 5, 6, 7)]
    assert shares == pytest.approx([0.3, 0.7 * 4 / 6, 0.7 / 6, 0.7 / 6], abs=0.05)


def test_a_folder_without_sentences_is_refused(workspace, autoencoder, capsys):
    words = ["pretrain", "autoencoder", "--data", autoencoder, "--training.side", 64]
    assert command(workspace, *words) == 2
    assert "procedural" in capsys.readouterr().err


def test_a_side_that_cannot_be_halved_is_refused(workspace, steel, capsys):
    words = ["pretrain", "autoencoder", "--data", steel, "--training.side", 98]
    assert command(workspace, *words) == 2
    assert "--training.side 98: a multiple of 4" in capsys.readouterr().err
