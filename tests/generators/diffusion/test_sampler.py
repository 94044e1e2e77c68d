import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from millsight.generators.diffusion.denoising import begin, fast_scheduler
from millsight.generators.diffusion.sampler import Drawing, Patch, Sampler
from millsight.platform.errors import UserError

STEPS, STRENGTH, GUIDANCE = 6, 0.7, 4.0
PROMPT = "a scratch"


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def plain(tiny_sd):
    """Diffusers' own image-to-image pipeline with the same scheduler."""
    pipeline = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(
        tiny_sd, safety_checker=None
    )
    pipeline.scheduler = fast_scheduler(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def plain_inpainting(tiny_sd_inpaint):
    pipeline = diffusers.StableDiffusionInpaintPipeline.from_pretrained(
        tiny_sd_inpaint, safety_checker=None
    )
    pipeline.scheduler = fast_scheduler(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def fill(sampler, patches, drawing, adapter=None):
    return [patch.round().astype(np.uint8) for patch in sampler.fill(patches, drawing, adapter)]


def test_the_image_oriented_start_is_that_of_diffusers(sampler, plain, pictures):
    timesteps = begin(sampler.scheduler, STEPS, STRENGTH, "cpu")
    start = sampler.start([Patch(7, pictures[0])], timesteps, STRENGTH)
    plain.scheduler.set_timesteps(STEPS)
    theirs, _ = plain.get_timesteps(STEPS, STRENGTH, "cpu")
    latents = plain.prepare_latents(
        plain.image_processor.preprocess(Image.fromarray(pictures[0])),
        theirs[:1],
        1,
        1,
        torch.float32,
        "cpu",
        [torch.Generator().manual_seed(7)],
    )
    assert torch.equal(timesteps, theirs)
    assert torch.equal(start.latents, latents)


def test_the_start_is_the_papers_formula(sampler, pictures):
    timesteps = begin(sampler.scheduler, STEPS, STRENGTH, "cpu")
    start = sampler.start([Patch(7, pictures[0])], timesteps, STRENGTH)
    kept = sampler.scheduler.alphas_cumprod[timesteps[0]]
    expected = kept.sqrt() * start.clean + (1 - kept).sqrt() * start.noise
    assert torch.allclose(start.latents, expected, atol=1e-5)


@pytest.mark.parametrize("guidance", [1.0, GUIDANCE])
def test_a_whole_picture_is_that_of_diffusers(sampler, plain, pictures, guidance):
    patches = [Patch(seed, picture) for seed, picture in enumerate(pictures[:4])]
    ours = fill(sampler, patches, Drawing(PROMPT, STEPS, STRENGTH, guidance))
    theirs = plain(
        [PROMPT] * 4,
        image=[Image.fromarray(picture) for picture in pictures[:4]],
        strength=STRENGTH,
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        generator=[torch.Generator().manual_seed(seed) for seed in range(4)],
        output_type="np",
    ).images
    expected = (theirs * 255).round().astype(int)
    assert np.abs(np.stack(ours) - expected).max() <= 1
    assert (np.stack(ours) != expected).mean() < 0.001


@pytest.mark.parametrize("strength", [STRENGTH, 1.0])
def test_an_inpainting_model_is_asked_as_diffusers_asks_it(
    inpainting_sampler, plain_inpainting, pictures, strength
):
    region = np.zeros((64, 64), np.bool_)
    region[16:40, 8:48] = True
    ours = fill(
        inpainting_sampler,
        [Patch(3, pictures[0], region)] * 4,
        Drawing(PROMPT, STEPS, strength, GUIDANCE),
    )[0]
    theirs = plain_inpainting(
        PROMPT,
        image=Image.fromarray(pictures[0]),
        mask_image=Image.fromarray(region),
        height=64,
        width=64,
        strength=strength,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).images[0]
    assert np.abs(ours - (theirs * 255).round()).max() <= 1


def test_a_patch_is_the_same_to_the_last_bit_whatever_lies_beside_it(sampler, pictures):
    drawing = Drawing(PROMPT, STEPS, STRENGTH, GUIDANCE)
    patches = [Patch(seed, picture) for seed, picture in enumerate(pictures)]
    together = list(sampler.fill(patches, drawing))
    backwards = list(sampler.fill(patches[::-1], drawing))[::-1]
    for patch, first, second in zip(patches, together, backwards, strict=True):
        alone = next(iter(sampler.fill([patch], drawing)))
        assert np.array_equal(alone, first)
        assert np.array_equal(alone, second)


def test_another_seed_is_another_picture(sampler, pictures):
    drawing = Drawing(PROMPT, STEPS, STRENGTH, GUIDANCE)
    first, second = fill(sampler, [Patch(0, pictures[0]), Patch(1, pictures[0])], drawing)
    assert (first != second).mean() > 0.5


def test_without_guidance_there_is_one_pass(sampler, monkeypatch):
    rows = []
    forward = sampler.pipeline.unet.forward
    monkeypatch.setattr(
        sampler.pipeline.unet,
        "forward",
        lambda x, *a, **k: rows.append(len(x)) or forward(x, *a, **k),
    )
    fill(sampler, [Patch(0)], Drawing(PROMPT, 2, 1.0, 1.0))
    fill(sampler, [Patch(0)], Drawing(PROMPT, 2, 1.0, 2.0))
    assert rows == [4, 4, 8, 8]


def test_a_prompt_is_encoded_once(sampler, monkeypatch):
    calls = []
    encode = sampler.pipeline.encode_prompt
    monkeypatch.setattr(
        sampler.pipeline, "encode_prompt", lambda **k: calls.append(k["prompt"]) or encode(**k)
    )
    for seed in range(3):
        fill(sampler, [Patch(seed)], Drawing("a pit nobody asked for yet", 1, 1.0, 2.0))
    assert calls == ["a pit nobody asked for yet"]


def test_outside_of_the_region_the_latents_are_the_plates(sampler, pictures):
    region = np.zeros((64, 64), np.bool_)
    region[20, 8:40] = True
    drawing = Drawing(PROMPT, STEPS, STRENGTH, GUIDANCE)
    first, second = fill(
        sampler, [Patch(0, pictures[0], region), Patch(1, pictures[0], region)], drawing
    )
    assert (first[16:24] != second[16:24]).any()
    far = np.abs(first[48:].astype(int) - second[48:])
    near = np.abs(first[16:24].astype(int) - second[16:24])
    assert far.mean() < near.mean() / 2


@pytest.mark.parametrize("strength", [0.01, 0.16])
def test_a_strength_that_does_no_step_is_refused(sampler, pictures, strength):
    with pytest.raises(UserError, match=r"does none.* at least 0\.167"):
        fill(sampler, [Patch(0, pictures[0])], Drawing(PROMPT, STEPS, strength, 1.0))


def test_the_smallest_strength_that_does_a_step(sampler, pictures):
    filled = fill(sampler, [Patch(0, pictures[0])], Drawing(PROMPT, STEPS, 1 / STEPS, 1.0))
    assert filled[0].shape == (64, 64, 3)


@pytest.mark.parametrize("words", ["scratch " * 12_500, "x" * 100_000, "scratch " * 78])
def test_a_prompt_beyond_the_tokenizer_is_refused(sampler, words):
    with pytest.raises(UserError, match=r"reads 75 tokens"):
        fill(sampler, [Patch(0)], Drawing(words, 1, 1.0, 1.0))


def test_the_longest_prompt_that_fits(sampler):
    assert len(fill(sampler, [Patch(0)], Drawing("a " * 75, 1, 1.0, 1.0))) == 1


def test_patches_of_another_size(sampler):
    large = Sampler(sampler.base, sampler.pipeline, batch_size=1, side=96)
    assert fill(large, [Patch(0)], Drawing(PROMPT, 1, 1.0, 1.0))[0].shape == (96, 96, 3)


def test_a_side_that_the_autoencoder_does_not_divide_is_refused(sampler):
    with pytest.raises(UserError, match="image_size 100: a multiple of 8"):
        Sampler(sampler.base, sampler.pipeline, side=100)


def test_the_global_random_state_stays(sampler, pictures):
    before = torch.random.get_rng_state()
    fill(sampler, [Patch(0, pictures[0])], Drawing(PROMPT, 2, 1.0, 2.0))
    assert torch.equal(before, torch.random.get_rng_state())
