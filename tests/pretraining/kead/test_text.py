from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip import SimpleTokenizer
from torch import Tensor

from millsight.platform.weights import LoadedWeights, load_weights
from millsight.pretraining.kead.clip_encoder import TextEncoder
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.prompt_sets import PromptSet, make_phrases, packaged_prompts
from millsight.pretraining.kead.text import TEMPLATES, anomaly_probability, embed_prompts


def test_the_21_templates() -> None:
    assert len(TEMPLATES) == 21
    assert len(set(TEMPLATES)) == 20
    assert TEMPLATES.count("a jpeg corrupted photo of the {}.") == 2
    assert all(template.count("{}") == 1 for template in TEMPLATES)


@pytest.mark.parametrize("center", [True, False])
def test_ensemble_follows_the_formula(weights: LoadedWeights, center: bool) -> None:
    encode = TextEncoder(weights)
    templates = ("a photo of a {}.", "the {}.")
    normal, anomalous = (
        ["flawless pipe", "pipe"],
        ["damaged pipe", "pipe with flaw", "cracked pipe"],
    )

    def unit(v: np.ndarray) -> np.ndarray:
        return v / np.linalg.norm(v)

    def mean(phrases: list[str]) -> np.ndarray:
        sentences = [t.replace("{}", phrase) for phrase in phrases for t in templates]
        rows = [unit(encode([s])[0].double().numpy()) for s in sentences]
        return unit(np.mean(rows, axis=0))

    expected = [mean(normal), mean(anomalous)]
    if center:
        expected = [unit(row - mean([""])) for row in expected]
    ours = embed_prompts(normal, anomalous, encode, templates=templates, center=center)
    np.testing.assert_allclose(ours.numpy(), np.stack(expected), atol=2e-5)
    np.testing.assert_allclose(ours.norm(dim=1).numpy(), 1, atol=1e-6)


def test_probability_is_the_softmax_of_two_cosines() -> None:
    text = torch.nn.functional.normalize(torch.randn(2, 16, dtype=torch.float64), dim=-1)
    tokens = 5 * torch.randn(3, 4, 16, dtype=torch.float64)
    scores = anomaly_probability(tokens, text)
    for b in range(3):
        for n in range(4):
            token = tokens[b, n] / tokens[b, n].norm()
            good, bad = (math.exp(float(token @ row) / 0.07) for row in text)
            assert scores[b, n].item() == pytest.approx(bad / (good + bad), abs=1e-12)


def test_many_sentences_embed_as_one_by_one(weights: LoadedWeights) -> None:
    encode = TextEncoder(weights)
    sentences: Sequence[str] = [f"steel number {i}" for i in range(300)]
    together: Tensor = encode(sentences)
    assert together.shape == (300, 32)
    torch.testing.assert_close(together[[299]], encode([sentences[299]]), rtol=0, atol=1e-5)


def test_words_whose_tokens_are_zero_are_unknown(
    make_weights: Callable[..., LoadedWeights],
) -> None:
    weights = make_weights()
    assert TextEncoder(weights).unknown_words(["A steel pipe with rust"]) == []
    tensors = dict(weights.state_dict)
    table = tensors["token_embedding.weight"].clone()
    for token in SimpleTokenizer().encode("rust"):
        table[token] = 0
    tensors["token_embedding.weight"] = table
    forgetful = TextEncoder(replace(weights, state_dict=tensors))
    assert forgetful.unknown_words(["A steel pipe with Rust.", "rusty, pipe"]) == ["rust"]


def test_unknown_words_of_a_prompt_set_are_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = tmp_path / "zebra.yaml"
    prompts.write_text("{category: zebra, object: steel surface, defects: {scratch: a zebra line}}")
    for sentences in ("generic", "defects"):
        caplog.clear()
        config = KeADConfig(
            encoder="embedded:micro-clip", k=0, prompts=str(prompts), sentences=sentences
        )
        KeAD.load(config).learn("zebra")
        assert ("1 words of the prompts for zebra (zebra)" in caplog.text) == (
            sentences == "defects"
        )


@pytest.mark.parametrize("prompts", packaged_prompts().values(), ids=lambda item: item.category)
def test_the_shipped_micro_clip_has_met_the_words_of_the_packaged_sets(
    micro_clip_text: TextEncoder, prompts: PromptSet
) -> None:
    phrases = make_phrases(prompts)
    assert micro_clip_text.unknown_words((*phrases.normal, *phrases.anomalous)) == []


@pytest.fixture(scope="module")
def micro_clip_text() -> TextEncoder:
    return TextEncoder(load_weights("embedded:micro-clip"))
