from dataclasses import replace

import pytest
import torch

from millsight.generators.diffusion.pipelines import load_pipeline, towers
from millsight.generators.diffusion.training.tokens import adapt, speak_of, token_rows
from millsight.platform.errors import UserError


def test_prompts_have_the_token_and_sentences_all_of_its_rows(settings):
    scale, scratch = speak_of(("rolled-in_scale", "划痕"), settings)
    assert scale.tokens == ("<rolled-in-scale>", "<rolled-in-scale>_1")
    assert scale.prompt == "a photo of a metal surface with <rolled-in-scale>"
    assert scale.sentence.endswith("with <rolled-in-scale> <rolled-in-scale>_1")
    assert scratch.tokens == ("<class-1>", "<class-1>_1")


def test_without_tokens_the_words_of_the_class_are_spoken(settings):
    words = speak_of(("rolled-in_scale",), replace(settings, vectors=0))[0]
    assert words.sentence == "a photo of a metal surface with rolled in scale"


def test_two_classes_never_share_a_token(settings):
    with pytest.raises(UserError, match="--each"):
        speak_of(("rolled-in", "rolled_in"), settings)


def test_new_rows_start_as_the_mean_of_the_words_and_old_rows_stay(tiny_base, settings):
    pipeline, plain = load_pipeline(tiny_base), load_pipeline(tiny_base)
    before = torch.random.get_rng_state()
    adapt(pipeline, speak_of(("scratch", "deep pit"), settings), settings)
    assert torch.equal(torch.random.get_rng_state(), before)
    tokenizer, encoder = towers(pipeline)[0]
    old = plain.text_encoder.get_input_embeddings().weight
    table = dict(encoder.named_parameters())
    base = next(own for name, own in table.items() if name.endswith("base_layer.weight"))
    assert torch.equal(base[: len(old)], old)
    rows = token_rows(encoder)
    pieces = plain.tokenizer("deep pit", add_special_tokens=False).input_ids
    assert len(pieces) > 1
    torch.testing.assert_close(rows[2:], old[pieces].mean(0).expand(2, -1))
    spoken = tokenizer("with <deep-pit> <deep-pit>_1").input_ids
    assert spoken[-3:-1] == [len(old) + 2, len(old) + 3]


def test_only_rows_and_low_rank_weights_can_learn(tiny_base, settings):
    for vectors, rank, text_rank in ((2, 0, 0), (0, 2, 0), (2, 2, 3)):
        config = replace(settings, vectors=vectors, rank=rank, text_rank=text_rank)
        pipeline = load_pipeline(tiny_base)
        adapt(pipeline, speak_of(("scratch",), config), config)
        parts = {"unet": pipeline.unet, "text": pipeline.text_encoder, "vae": pipeline.vae}
        learned = {
            f"{part}.{name}"
            for part, module in parts.items()
            for name, own in module.named_parameters()
            if own.requires_grad
        }
        assert {name.rpartition("_tokens_delta")[1] or "lora" for name in learned} == {
            *(["_tokens_delta"] if vectors else []),
            *(["lora"] if rank or text_rank else []),
        }
        assert any(name.startswith("unet.") for name in learned) == bool(rank)
        assert any("text" in name and "lora" in name for name in learned) == bool(text_rank)


def test_a_vocabulary_that_has_the_token_already_is_refused(tiny_base, settings):
    pipeline = load_pipeline(tiny_base)
    pipeline.tokenizer.add_tokens(["<scratch>"])
    with pytest.raises(UserError, match="<scratch>"):
        adapt(pipeline, speak_of(("scratch",), settings), settings)
