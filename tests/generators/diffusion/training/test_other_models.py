"""Velocity prediction, inpainting and SDXL: each trains, and what it learns is sampled with."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from tiny_diffusion import write_tiny_sd
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from millsight.generators.diffusion.adapters import open_adapter
from millsight.generators.diffusion.base import open_base
from millsight.generators.diffusion.pipelines import load_pipeline
from millsight.generators.diffusion.sampler import Drawing, Patch, Sampler
from millsight.generators.diffusion.training.export import export_adapter
from millsight.generators.diffusion.training.judging import Sampling, sample_class
from millsight.generators.diffusion.training.latents import LatentData, encode_crops
from millsight.generators.diffusion.training.module import AdaptationModule
from millsight.generators.diffusion.training.prompts import encode_prompts, take
from millsight.generators.diffusion.training.tokens import speak_of, text_encoders, token_rows
from millsight.generators.diffusion.untrained import SCHEDULE, Layout, build_untrained
from millsight.platform.artifacts import drafting
from millsight.platform.executors.training import Training
from millsight.platform.fingerprints import Recipe
from millsight.platform.training import Hardware, fit, trainer_options

LABELS = ("rolled-in_scale", "scratch")
SECOND_WIDTH = 24


@pytest.fixture(scope="module", params=["velocity", "inpainting", "sdxl"])
def base(request, tmp_path_factory, tiny_sd_inpaint):
    folder = tmp_path_factory.mktemp(request.param) / "base"
    if request.param == "sdxl":
        write_tiny_sdxl(folder)
    elif request.param == "velocity":
        write_tiny_sd(folder, Layout(prediction_type="v_prediction"))
    return open_base(str(tiny_sd_inpaint if request.param == "inpainting" else folder))


def write_tiny_sdxl(folder):
    torch.manual_seed(0)
    small = build_untrained(Layout())
    tokenizer, first = small.tokenizer, small.text_encoder
    second = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=SECOND_WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=first.config.hidden_size + SECOND_WIDTH,
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
    )
    StableDiffusionXLPipeline(
        vae=small.vae,
        text_encoder=CLIPTextModel(first.config).eval(),
        text_encoder_2=CLIPTextModelWithProjection(second).eval(),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(
            **{name: value for name, value in SCHEDULE.items() if name.startswith("beta")}
        ),
        add_watermarker=False,
    ).save_pretrained(folder)


def test_it_trains_and_its_adapter_is_sampled_with(base, crops, settings, tmp_path):
    config = replace(settings, steps=2, check_every=2, freeze_tokens=0.5)
    pipeline = load_pipeline(base)
    latents = encode_crops(pipeline.vae, crops, config, lambda *_: None, inpainting=base.inpainting)
    module = AdaptationModule(pipeline, speak_of(LABELS, config), config, 64)
    rows = [token_rows(encoder) for encoder in text_encoders(pipeline)]
    assert len(rows) == (2 if base.family == "sdxl" else 1)
    before = [own.detach().clone() for own in rows]
    data = LatentData(latents, LABELS, config)
    options = trainer_options(epochs=1, clip_norm=1.0, accumulate=1, precision="32")
    checkpoint = str(tmp_path / "checkpoint.pt")
    fit(Training(module, data, (), options), checkpoint, Hardware("cpu", progress_bar=False))
    assert all(not torch.equal(own, old) for own, old in zip(rows, before, strict=True))
    assert all(own.isfinite().all() for own in module.state_dict().values())
    with drafting(tmp_path / "adapter", Recipe("adapter", 1, {})) as draft:
        export_adapter(module, base, draft)
        draft.commit()
    adapter = open_adapter(tmp_path / "adapter", base)
    sampler = Sampler.load(base, batch_size=2)
    drawing = Drawing(adapter.prompt("scratch"), steps=2, strength=1.0)
    patch = Patch(3, crops[0].picture, crops[0].mask) if base.inpainting else Patch(3)
    adapted = next(iter(sampler.fill([patch], drawing, adapter)))
    bare = next(iter(sampler.fill([patch], drawing)))
    assert np.isfinite(adapted).all()
    assert (adapted != bare).any()


def test_checkpoints_are_judged_by_what_the_model_can_do(base, crops, settings):
    module = AdaptationModule(load_pipeline(base), speak_of(LABELS, settings), settings, 64)
    with torch.no_grad():
        states = take(module.text_states(), torch.tensor([2, 1]))
    sampling = Sampling(side=64, steps=2, guidance=4.0, grey=False, batch=2)
    places = [(crop.picture, crop.mask) for crop in crops] if base.inpainting else []
    found = sample_class(module.pipeline, states, range(3), sampling, places)
    again = sample_class(module.pipeline, states, range(3), sampling, places)
    assert [picture.shape for picture in found] == [(64, 64, 3)] * 3
    assert all((a == b).all() for a, b in zip(found, again, strict=True))


def test_text_states_are_those_of_diffusers(base, settings):
    module = AdaptationModule(load_pipeline(base), speak_of(LABELS, settings), settings, 64)
    with torch.no_grad():
        own, bare = (
            encode_prompts(module.pipeline, [text]) for text in (module.words[0].sentence, "")
        )
        theirs = module.pipeline.encode_prompt(
            module.words[0].prompt,
            device="cpu",
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
        )
    assert torch.equal(own["prompt_embeds"], theirs[0])
    assert torch.equal(bare["prompt_embeds"], theirs[1])
    if base.family == "sdxl":
        assert torch.equal(own["pooled_prompt_embeds"], theirs[2])
        assert torch.equal(bare["pooled_prompt_embeds"], theirs[3])
