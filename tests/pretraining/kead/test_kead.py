from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights, build_model
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.memory_bank import MemoryBank
from millsight.pretraining.kead.text import anomaly_probability

Pictures = list[np.ndarray]


def learnt(weights: LoadedWeights, normals: Pictures, **settings: object) -> KeAD:
    kead = KeAD.load(KeADConfig(k=len(normals), **settings), weights=weights)  # type: ignore[arg-type]
    kead.learn("steel_pipe", normals)
    return kead


def test_zero_shot_is_the_text_term(weights: LoadedWeights, pictures: Pictures) -> None:
    kead = learnt(weights, [])
    result = kead.score(pictures[:1], "steel_pipe")[0]
    features = kead.encoder.encode(kead.encoder.prepare(pictures[0])[None])
    text = kead.categories["steel_pipe"].text
    assert text is not None
    assert features.class_token is not None
    expected = torch.stack([anomaly_probability(layer, text)[0] for layer in features.layers])
    np.testing.assert_allclose(result.map.ravel(), expected.mean(dim=0), atol=1e-6)
    assert result.score == result.class_score
    expected_score = anomaly_probability(features.class_token, text).item()
    assert result.score == pytest.approx(expected_score, abs=1e-6)


def test_class_score_is_that_of_encode_image(weights: LoadedWeights, pictures: Pictures) -> None:
    kead = learnt(weights, pictures[:2])
    pixels = torch.stack([kead.encoder.prepare(picture) for picture in pictures])
    with torch.inference_mode():
        tokens = build_model(weights).encode_image(pixels)  # type: ignore[operator]
    text = kead.categories["steel_pipe"].text
    assert text is not None
    scores = [result.class_score for result in kead.score(pictures, "steel_pipe")]
    np.testing.assert_allclose(scores, anomaly_probability(tokens, text), atol=1e-4)


def test_few_shot_adds_the_distance(weights: LoadedWeights, pictures: Pictures) -> None:
    normals, rest = pictures[:2], pictures[2:]
    few = learnt(weights, normals)
    zero = learnt(weights, [])
    bank = few.categories["steel_pipe"].bank
    assert bank is not None
    for picture, with_bank, without in zip(
        rest, few.score(rest, "steel_pipe"), zero.score(rest, "steel_pipe"), strict=True
    ):
        features = few.encoder.encode(few.encoder.prepare(picture)[None])
        distance = bank.anomaly_map(features)[0].numpy()
        np.testing.assert_allclose(with_bank.map, without.map + distance, atol=1e-5)
        assert with_bank.class_score == pytest.approx(without.class_score, abs=1e-5)
        assert with_bank.class_score is not None
        mean = (with_bank.class_score + with_bank.map.max()) / 2
        assert with_bank.score == pytest.approx(mean, abs=1e-6)


def test_a_score_does_not_depend_on_the_batch(weights: LoadedWeights, pictures: Pictures) -> None:
    kead = learnt(weights, pictures[:1])
    together = kead.score(pictures, "steel_pipe")
    for picture, expected in zip(pictures, together, strict=True):
        alone = kead.score([picture], "steel_pipe")[0]
        assert alone.score == pytest.approx(expected.score, abs=1e-4)
        np.testing.assert_allclose(alone.map, expected.map, atol=1e-4)


def test_categories_of_one_batch_keep_apart(weights: LoadedWeights, pictures: Pictures) -> None:
    kead = learnt(weights, pictures[:1])
    kead.learn("gc10", pictures[1:2])
    pixels = [kead.encoder.prepare(picture) for picture in pictures[2:4]]
    mixed = kead.score_prepared(pixels, ["gc10", "steel_pipe"])
    assert mixed[0].score == pytest.approx(kead.score(pictures[2:3], "gc10")[0].score, abs=1e-4)
    other = kead.score(pictures[3:4], "steel_pipe")[0]
    assert mixed[1].score == pytest.approx(other.score, abs=1e-4)


def test_augmentation_lowers_the_distance_of_a_turned_normal(
    weights: LoadedWeights, pictures: Pictures
) -> None:
    square = np.ascontiguousarray(pictures[0][:48, :48])
    turned = [np.ascontiguousarray(np.rot90(square))]
    plain = learnt(weights, [square])
    augmented = learnt(weights, [square], augment=("rot90",))
    assert len(augmented.categories["steel_pipe"].bank.layers[0]) == 2 * 36  # type: ignore[union-attr]
    highest = plain.score(turned, "steel_pipe")[0].map
    assert (augmented.score(turned, "steel_pipe")[0].map < highest).all()


@pytest.mark.parametrize(
    ("encoder", "grid"),
    [("embedded:efficientnet-lite0", (4, 5)), ("random:timm:test_vit", (8, 8))],
)
def test_vision_only(encoder: str, grid: tuple[int, int], pictures: Pictures) -> None:
    kead = KeAD.load(KeADConfig(encoder=encoder, k=1, image_size=128))
    kead.learn("steel_pipe", pictures[:1])
    known, other = kead.score(pictures[:2], "steel_pipe")
    assert known.class_score is None
    assert other.map.shape == grid
    assert known.score < 1e-4 < other.score
    highest = np.sort(other.map.ravel())[::-1][: max(1, int(0.05 * other.map.size))]
    assert other.score == pytest.approx(highest.mean(), rel=1e-6)


def test_vision_only_without_normals_is_refused() -> None:
    kead = KeAD.load(KeADConfig(encoder="random:timm:test_vit", k=0))
    with pytest.raises(UserError, match="nothing to score"):
        kead.learn("steel_pipe")


def test_k_and_normals_must_agree(weights: LoadedWeights, pictures: Pictures) -> None:
    with pytest.raises(UserError, match="k: 0"):
        KeAD.load(KeADConfig(k=4), weights=weights).learn("steel_pipe")
    with pytest.raises(UserError, match="k is 0"):
        KeAD.load(KeADConfig(k=0), weights=weights).learn("steel_pipe", pictures)


def test_another_image_size_resamples_the_positions(
    weights: LoadedWeights, pictures: Pictures
) -> None:
    kead = learnt(weights, pictures[:1], image_size=64)
    assert kead.score(pictures[:1], "steel_pipe")[0].map.shape == (8, 8)


def test_official_preparation_has_no_antialiasing(weights: LoadedWeights) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 480, 3), dtype=np.uint8)
    spread = {
        compat: float(learnt(weights, [], compat=compat).encoder.prepare(noise).std())
        for compat in ("paper", "official")
    }
    assert spread["official"] > 2 * spread["paper"]


def test_official_interpolation_aligns_corners(weights: LoadedWeights, pictures: Pictures) -> None:
    official = learnt(weights, pictures[:1], compat="official").score(pictures, "steel_pipe")[1]
    paper = learnt(weights, pictures[:1]).score(pictures, "steel_pipe")[1]
    height, width = official.map.shape[0] * 2 - 1, official.map.shape[1] * 2 - 1
    np.testing.assert_allclose(official.upsample(height, width)[::2, ::2], official.map, atol=1e-6)
    assert not np.allclose(paper.upsample(height, width)[::2, ::2], paper.map, atol=1e-3)


def test_description_changes_with_what_changes_a_score(
    make_weights: Callable[..., LoadedWeights], weights: LoadedWeights, pictures: Pictures
) -> None:
    base = learnt(weights, pictures[:1]).describe()
    assert learnt(weights, pictures[:1]).describe() == base
    assert learnt(weights, pictures[1:2]).describe() != base
    assert learnt(weights, pictures[:1], sentences="generic").describe() != base
    assert base["categories"]["steel_pipe"]["prompts"]["object"] == "steel pipe surface"


def test_memory_of_pictures_of_two_shapes(weights: LoadedWeights, pictures: Pictures) -> None:
    kead = learnt(weights, pictures)
    bank = kead.categories["steel_pipe"].bank
    assert isinstance(bank, MemoryBank)
    assert {len(layer) for layer in bank.layers} == {36 * len(pictures)}
