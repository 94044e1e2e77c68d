"""SDXL in miniature: two text encoders, pooled text and sizes as conditions."""

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from millsight.generators.diffusion.base import open_base
from millsight.generators.diffusion.denoising import fast_scheduler
from millsight.generators.diffusion.sampler import Drawing, Patch, Sampler
from millsight.generators.diffusion.untrained import Layout, build_untrained

STEPS, STRENGTH, GUIDANCE = 4, 0.8, 3.0
WIDTH = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    small = build_untrained(Layout())
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=WIDTH + 6 * 8,
    )
    config = CLIPTextConfig(**small.text_encoder.config.to_dict())
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=small.vae,
        text_encoder=small.text_encoder,
        text_encoder_2=CLIPTextModelWithProjection(config),
        tokenizer=small.tokenizer,
        tokenizer_2=small.tokenizer,
        unet=unet,
        scheduler=small.scheduler,
        add_watermarker=False,
    )
    where = tmp_path_factory.mktemp("sdxl") / "base"
    pipeline.save_pretrained(where)
    return where


def test_a_whole_picture_is_that_of_diffusers(folder):
    base = open_base(str(folder))
    assert base.family == "sdxl"
    sampler = Sampler.load(base, batch_size=2)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    patches = [Patch(seed, picture) for seed, picture in enumerate(pictures)]
    ours = np.stack(list(sampler.fill(patches, Drawing("a pit", STEPS, STRENGTH, GUIDANCE))))
    plain = diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(
        folder, add_watermarker=False
    )
    plain.scheduler = fast_scheduler(plain.scheduler.config)
    plain.set_progress_bar_config(disable=True)
    theirs = plain(
        ["a pit"] * 2,
        image=[Image.fromarray(picture) for picture in pictures],
        strength=STRENGTH,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=[torch.Generator().manual_seed(seed) for seed in range(2)],
        output_type="np",
    ).images
    assert np.abs(ours - theirs * 255).max() < 0.1
