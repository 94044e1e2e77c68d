from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from millsight.generators.diffusion.pipelines import unet_arguments
from millsight.generators.diffusion.training.latents import LatentData, LatentDraws
from millsight.generators.diffusion.training.losses import masked_loss
from millsight.generators.diffusion.training.prompts import take
from millsight.generators.diffusion.training.tokens import token_rows
from millsight.platform.errors import UserError
from millsight.platform.executors.training import Training
from millsight.platform.training import Hardware, fit, trainer_options

QUIET = Hardware("cpu", progress_bar=False)
LABELS = ("rolled-in_scale", "scratch")


def training(module, latents, *callbacks):
    config = module.config
    options = trainer_options(
        epochs=config.steps // config.check_every, clip_norm=1.0, accumulate=1, precision="32"
    )
    return Training(module, LatentData(latents, LABELS, config), callbacks, options)


def run(module, latents, folder, *callbacks):
    fit(training(module, latents, *callbacks), str(folder / "checkpoint.pt"), QUIET)
    return module


class Watch(Callback):
    """Notes the token rows after every step."""

    def __init__(self):
        self.rows = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.rows.append(token_rows(pl_module.encoders[0]).detach().clone())


@pytest.mark.parametrize("text_rank", [0, 2])
def test_only_new_rows_and_adapter_weights_change(build, latents, settings, tmp_path, text_rank):
    module = build(replace(settings, text_rank=text_rank))
    everything = {
        **{f"unet.{name}": own for name, own in module.unet.state_dict().items()},
        **{f"vae.{name}": own for name, own in module.vae.state_dict().items()},
        **{f"text.{name}": own for name, own in module.encoders[0].state_dict().items()},
    }
    before = {name: own.clone() for name, own in everything.items()}
    learned = {name: own.clone() for name, own in module.state_dict().items()}
    run(module, latents, tmp_path)
    changed = {name for name, own in everything.items() if not torch.equal(own, before[name])}
    assert changed
    assert all("lora_" in name or "tokens_delta" in name for name in changed)
    assert any("tokens_delta" in name for name in changed)
    assert any(name.startswith("text.") and "lora_B" in name for name in changed) == bool(text_rank)
    assert len(before) > len(changed)
    after = module.state_dict()
    assert after.keys() == learned.keys()
    assert all("lora_" in name or "tokens_delta" in name for name in after)


def test_tokens_stand_still_after_their_share_of_the_steps(build, latents, settings, tmp_path):
    watch = Watch()
    module = run(build(settings), latents, tmp_path, watch)
    assert settings.frozen_from == 4
    moved = [not torch.equal(a, b) for a, b in zip(watch.rows, watch.rows[1:], strict=False)]
    assert moved == [True] * 3 + [False] * 4
    # And what was remembered from then on is what the encoder says of them now.
    with torch.no_grad():
        now = module.text_states()
    assert torch.equal(module._states["prompt_embeds"], now["prompt_embeds"])


def test_a_loss_that_is_no_number_ends_the_training(build, latents, settings, tmp_path):
    module = build(settings)
    with torch.no_grad():
        next(iter(module.unet.parameters())).fill_(float("nan"))
    with pytest.raises(
        UserError, match=r"the loss became nan at step 0 \(noise nan\); lower .*learning_rate"
    ):
        run(module, latents, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_draws_balance_classes_and_depend_on_their_key_alone(latents, settings):
    draws = LatentDraws(latents, LABELS, replace(settings, unconditional=0.25), 400)
    prompts = [int(draws[0, index]["prompt"]) for index in range(400)]
    assert prompts.count(2) == pytest.approx(100, abs=30)
    assert prompts.count(0) == pytest.approx(prompts.count(1), abs=30)
    first, again, other = draws[3, 7], draws[3, 7], draws[4, 7]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(draws[3, at]["mean"], draws[4, at]["mean"]) for at in range(9))
    assert first.keys() == other.keys() == {"mean", "std", "places", "prompt"}


def test_mirrored_crops_are_encoded_themselves(latents, crops):
    mean = latents.tensors["mean"]
    assert mean.shape == (len(crops), 4, 4, 8, 8)
    places = latents.tensors["places"]
    assert torch.equal(places[:, 1], places[:, 0].flip(-2))
    assert torch.equal(places[:, 2], places[:, 0].flip(-1))
    assert not torch.equal(mean[:, 1], mean[:, 0].flip(-2))


def test_what_is_learned_lowers_the_loss(build, latents, settings, tmp_path):
    config = replace(settings, steps=40, check_every=40, batch_size=4, unconditional=0)
    module = build(config)
    before = fixed_loss(module, latents)
    after = fixed_loss(run(module, latents, tmp_path), latents)
    assert after < 0.98 * before


def fixed_loss(module, latents):
    """The loss over draws that are the same for every module."""
    draws = LatentDraws(latents, LABELS, module.config, 32)
    items = [draws[0, index] for index in range(32)]
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}
    torch.manual_seed(7)
    with torch.no_grad():
        clean = batch["mean"] * module.vae.config.scaling_factor
        noise, steps = torch.randn_like(clean), torch.randint(1000, (32,))
        noisy = module.schedule.add_noise(clean, noise, steps)
        text = take(module.text_states(), batch["prompt"])
        predicted = module.unet(noisy, steps, **unet_arguments(text, module.side)).sample
    return masked_loss(predicted, noise, batch["places"], module.step_weights[steps]).item()
