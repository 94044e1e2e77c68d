import json
import os
import pickle
import shutil

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_diffusion import write_tiny_adapter

from millsight.generators.diffusion.adapters import CARD, EMBEDDINGS, LORA, open_adapter
from millsight.generators.diffusion.base import open_base
from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.diffusion.denoising import fast_scheduler
from millsight.generators.diffusion.engine import DiffusionEngine
from millsight.generators.diffusion.sampler import Drawing, Patch, Sampler
from millsight.generators.diffusion.switching import AdapterSwitch
from millsight.generators.samples import Request, SampleSpec
from millsight.platform.errors import UserError

DRAWING = Drawing("a photo of <scratch>", 3, 1.0, 2.0)


@pytest.fixture(scope="module")
def base(tiny_sd):
    return open_base(str(tiny_sd))


@pytest.fixture(scope="module")
def folders(base, tmp_path_factory):
    """Adapters of every kind, all with the same token."""
    root = tmp_path_factory.mktemp("adapters")
    kinds = {
        "both": {"seed": 1},
        "text": {"seed": 2, "text_lora": True},
        "tokens": {"seed": 3, "lora": False},
        "lora": {"seed": 4, "tokens": {}},
    }
    return {name: write_tiny_adapter(root / name, base, **kind) for name, kind in kinds.items()}


@pytest.fixture
def copied(folders, tmp_path):
    return shutil.copytree(folders["both"], tmp_path / "adapter")


def draw(sampler, adapter):
    prompt = adapter.card.prompts["scratch"] if adapter else "a scratch"
    drawing = Drawing(prompt, DRAWING.steps, 1.0, DRAWING.guidance)
    return next(iter(sampler.fill([Patch(0)], drawing, adapter)))


def fresh(base):
    return Sampler.load(base, batch_size=1)


@pytest.mark.parametrize("kind", ["both", "text", "tokens", "lora"])
def test_plain_diffusers_makes_the_same_picture(base, folders, kind):
    adapter = open_adapter(folders[kind], base)
    plain = diffusers.StableDiffusionPipeline.from_pretrained(base.folder, safety_checker=None)
    plain.scheduler = fast_scheduler(plain.scheduler.config)
    plain.set_progress_bar_config(disable=True)
    if kind != "tokens":
        plain.load_lora_weights(folders[kind])
    if kind != "lora":
        plain.load_textual_inversion(folders[kind])
    theirs = plain(
        adapter.card.prompts["scratch"],
        height=64,
        width=64,
        num_inference_steps=DRAWING.steps,
        guidance_scale=DRAWING.guidance,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images[0]
    assert np.abs(draw(fresh(base), adapter) - theirs * 255).max() < 0.1


def test_switching_leaves_no_trace(base, folders):
    adapters = [open_adapter(folder, base) for folder in folders.values()]
    alone = {a.name: draw(fresh(base), a) for a in adapters}
    bare = draw(fresh(base), None)
    assert len({picture.tobytes() for picture in (*alone.values(), bare)}) == 5
    shared = fresh(base)
    for adapter in [*adapters, *adapters[::-1]]:
        assert np.array_equal(draw(shared, adapter), alone[adapter.name])
        assert np.array_equal(draw(shared, None), bare)
    for adapter in adapters:
        assert np.array_equal(draw(shared, adapter), alone[adapter.name])


def test_the_oldest_adapter_leaves_the_memory(base, folders):
    sampler = fresh(base)
    sampler.switch = AdapterSwitch(sampler.pipeline, limit=1)
    first, second = (open_adapter(folders[kind], base) for kind in ("both", "text"))
    sampler.switch.use(first)
    sampler.switch.use(second)
    assert sampler.switch.loaded == (second.name,)
    listed = sampler.pipeline.get_list_adapters()
    assert {name for names in listed.values() for name in names} == {second.name}
    sampler.switch.use(first)
    assert sampler.switch.loaded == (first.name,)


def test_the_engine_draws_with_its_adapter(base, folders, materials):
    def made(adapter):
        config = DiffusionConfig(str(base.folder), adapter=adapter, batch_size=2, least_psnr=0.0)
        spec = SampleSpec("scratch", mode="variation", steps=3, strength=0.9, guidance=2.0)
        return DiffusionEngine.load(config, materials).generate([Request(spec, 0)])[0]

    adapted, bare = made(str(folders["both"])), made(None)
    assert adapted.provenance["adapter"] == open_adapter(folders["both"], base).sha256
    assert adapted.provenance["prompt"] == "a photo of <scratch>"
    assert bare.provenance["adapter"] is None
    assert adapted.picture.tobytes() != bare.picture.tobytes()


def test_an_adapter_draws_at_the_size_that_it_learned_from(base, copied, materials):
    card = json.loads((copied / CARD).read_text())
    spec = SampleSpec("scratch", mode="variation", steps=2, strength=0.9, guidance=2.0)

    def side(said: object, wanted: int | None = None) -> int:
        (copied / CARD).write_text(json.dumps(card | {"training": {"side": said}}))
        config = DiffusionConfig(
            str(base.folder), adapter=str(copied), image_size=wanted, batch_size=1, least_psnr=0.0
        )
        made = DiffusionEngine.load(config, materials).generate([Request(spec, 0)])[0]
        found: int = made.provenance["side"]
        return found

    learned = base.side // 2
    assert side(learned) == learned
    assert side(learned, base.side) == base.side
    assert side("64 pixels") == base.side


def test_a_class_that_the_adapter_does_not_know(base, folders):
    with pytest.raises(UserError, match="knows no class 'pit', only scratch"):
        open_adapter(folders["both"], base).prompt("pit")


class Poison:
    def __reduce__(self):
        return os.mkdir, ("poisoned",)


@pytest.mark.parametrize("name", ["pytorch_lora_weights.bin", "learned_embeds.pt", "x/y.pkl"])
def test_pickles_are_refused_unopened(base, copied, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (copied / name).parent.mkdir(exist_ok=True)
    (copied / name).write_bytes(pickle.dumps(Poison()))
    with pytest.raises(UserError, match="is a pickle"):
        open_adapter(copied, base)
    assert not (tmp_path / "poisoned").exists()


@pytest.mark.parametrize("name", [LORA, EMBEDDINGS[0]])
def test_a_pickle_under_another_name_is_refused_unopened(base, copied, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (copied / name).write_bytes(pickle.dumps(Poison()))
    with pytest.raises(UserError, match="no safetensors file"):
        open_adapter(copied, base)
    assert not (tmp_path / "poisoned").exists()


def test_numbers_that_are_not_finite_are_refused(base, copied):
    tensors = load_file(copied / LORA)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, copied / LORA)
    with pytest.raises(UserError, match="not finite"):
        open_adapter(copied, base)


def test_an_adapter_of_another_base_is_refused(folders, tiny_sd_inpaint):
    other = open_base(str(tiny_sd_inpaint))
    with pytest.raises(UserError, match=r"made for .* Name the base model"):
        open_adapter(folders["both"], other)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / CARD).unlink(), "no adapter.json"),
        (lambda f: (f / CARD).write_text("{"), "cannot be read as JSON"),
        (lambda f: (f / CARD).write_text('{"schema_version": 9}'), "schema version 9"),
        (lambda f: (f / CARD).write_text('{"schema_version": 1}'), "lacks base, prompts, rank"),
        (lambda f: [(f / name).unlink() for name in (LORA, EMBEDDINGS[0])], "neither"),
        (lambda f: os.truncate(f / LORA, 200), "damaged"),
    ],
)
def test_what_is_no_adapter(base, copied, spoil, message):
    spoil(copied)
    with pytest.raises(UserError, match=message):
        open_adapter(copied, base)


def test_weights_of_another_shape_leave_the_sampler_whole(base, copied, folders):
    tensors = {name: tensor[:, :1] for name, tensor in load_file(copied / LORA).items()}
    save_file({name: t.contiguous() for name, t in tensors.items()}, copied / LORA)
    sampler, good = fresh(base), open_adapter(folders["lora"], base)
    before = draw(sampler, good)
    with pytest.raises(UserError, match="does not fit the base model"):
        draw(sampler, open_adapter(copied, base))
    assert np.array_equal(draw(sampler, good), before)
    assert sampler.switch.loaded == (good.name,)


def test_embeddings_of_unknown_tokens_are_refused(base, copied):
    card = json.loads((copied / CARD).read_text())
    (copied / CARD).write_text(json.dumps(card | {"tokens": {"scratch": "<other>"}}))
    with pytest.raises(UserError, match="embeddings of <scratch>"):
        draw(fresh(base), open_adapter(copied, base))
