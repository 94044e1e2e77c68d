from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.shards import make_shards, run_shard
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.kead import unlabelled
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.features import PatchFeatures
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.memory_bank import mean_map
from millsight.pretraining.kead.stage import KeADStage
from millsight.pretraining.kead.text import anomaly_probability
from millsight.pretraining.kead.unlabelled import Identity, UnlabelledPictures

Pictures = list[np.ndarray]
LITE0 = "embedded:efficientnet-lite0"
GRID = (3, 4)


def encoded(count: int, seed: int = 0, grid: tuple[int, int] = GRID) -> list[PatchFeatures]:
    torch.manual_seed(seed)
    shape = (1, grid[0] * grid[1], 8)
    return [
        PatchFeatures((torch.randn(shape), torch.randn(shape)), (grid,) * 2) for _ in range(count)
    ]


def named(features: list[PatchFeatures], first: int = 0) -> dict[Identity, PatchFeatures]:
    return {Identity(f"{first + i}", f"{first + i}"): item for i, item in enumerate(features)}


def surveyed(
    weights: LoadedWeights | None, others: Pictures, normals: Sequence[np.ndarray] = ()
) -> KeAD:
    config = KeADConfig(LITE0, k=len(normals), unlabelled=len(others), image_size=64)
    kead = KeAD.load(config, weights=weights)
    kead.learn("steel_pipe", normals, [(Identity.of_pixels(item), item) for item in others])
    return kead


def test_distance_is_the_mean_over_the_nearer_half_of_the_others() -> None:
    known, query = encoded(6), encoded(1, seed=1)[0]
    survey = UnlabelledPictures.build(named(known))
    reduced = survey.reduce(query)
    grid = survey.anomaly_map(reduced, [Identity("3", "3")])[0]
    for p in range(12):
        values = []
        for number, layer in enumerate(reduced.layers):
            distances = []
            for i in (0, 1, 2, 4, 5):
                other = survey.reduce(known[i]).layers[number][0]
                cosines = torch.cosine_similarity(layer[0, p], other, dim=-1)
                distances.append(0.5 * (1 - cosines.max().item()))
            values.append(np.mean(sorted(distances)[:2]))  # half of 5, to even
        assert grid[p // 4, p % 4].item() == pytest.approx(np.mean(values), abs=1e-5)


@pytest.mark.parametrize("cells", [1, 100, 1 << 22])
def test_chunks_change_nothing(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = UnlabelledPictures.build(named(encoded(5)))
    reduced = survey.reduce(encoded(1, seed=1)[0])
    expected = survey.anomaly_map(reduced, None)
    monkeypatch.setattr(unlabelled, "CHUNK_CELLS", cells)
    torch.testing.assert_close(survey.anomaly_map(reduced, None), expected)


def test_a_picture_and_its_object_are_not_compared_with_themselves() -> None:
    known = encoded(4)
    survey = UnlabelledPictures.build(named(known))
    own = survey.reduce(known[2])
    assert survey.anomaly_map(own, None).max() < survey.anomaly_map(own, [Identity("2", "2")]).min()
    for same in (Identity("2", "tile"), Identity("copy", "2")):
        expected = survey.anomaly_map(own, [Identity("2", "2")])
        assert torch.equal(survey.anomaly_map(own, [same]), expected)
    assert torch.equal(survey.anomaly_map(own, [Identity("x", "y")]), survey.anomaly_map(own, None))


def test_a_content_named_like_an_object_is_no_match() -> None:
    others = {Identity(f"c{i}", f"o{i}"): item for i, item in enumerate(encoded(3))}
    survey = UnlabelledPictures.build(others)
    assert not survey._same(1, [Identity("o1", "c1")]).any()
    assert survey._same(1, [Identity("c1", "o2")]).tolist() == [[False, True, True]]


def test_pictures_of_a_batch_are_left_out_each_for_itself() -> None:
    known = encoded(5)
    survey = UnlabelledPictures.build(named(known))
    layers = tuple(torch.cat([known[i].layers[j] for i in (0, 4)]) for j in range(2))
    together = survey.reduce(PatchFeatures(layers, known[0].grids))
    identities = [Identity("0", "0"), Identity("new", "new")]
    maps = survey.anomaly_map(together, identities)
    for row, i in enumerate((0, 4)):
        alone = survey.anomaly_map(survey.reduce(known[i]), [identities[row]])[0]
        torch.testing.assert_close(maps[row], alone)


def test_shapes_of_pictures_may_differ() -> None:
    wide, high = encoded(3), encoded(3, seed=1, grid=(5, 4))
    survey = UnlabelledPictures.build({**named(wide), **named(high, first=3)})
    assert [layer.tokens.shape for layer in survey.layers] == [(6, 20, 8)] * 2
    assert survey.anomaly_map(survey.reduce(high[0]), None).shape == (1, 5, 4)
    # Of the 12 patches, the first stands where the higher pictures have 8 more.
    assert torch.equal(
        survey.layers[0].tokens[0, 12:], survey.layers[0].tokens[0, :1].expand(8, -1)
    )


def test_memory_is_bounded_by_the_reduced_length() -> None:
    torch.manual_seed(0)
    tokens = [torch.randn(30, 200) for _ in range(4)]
    layer = unlabelled.UnlabelledLayer.build(tokens)
    assert layer.tokens.shape == (4, 30, 64)
    torch.testing.assert_close(layer.tokens.norm(dim=2), torch.ones(4, 30))


def test_the_order_of_unlabelled_pictures_changes_nothing(pictures: Pictures) -> None:
    first = surveyed(None, pictures[1:], pictures[:1])
    second = surveyed(None, pictures[:0:-1], pictures[:1])
    assert first.describe() == second.describe()
    for one, two in zip(
        first.score(pictures, "steel_pipe"), second.score(pictures, "steel_pipe"), strict=True
    ):
        assert one.score == two.score
        assert np.array_equal(one.map, two.map)


def test_without_a_normal_picture_the_odd_one_stands_out(weights: LoadedWeights) -> None:
    rng = np.random.default_rng(0)
    usual = [rng.normal(120, 8, (64, 64, 3)).astype(np.uint8) for _ in range(6)]
    odd = usual[0].copy()
    odd[20:44, 20:44] = 250
    for source in (None, weights):
        scores = surveyed(source, [*usual[1:], odd]).score([*usual[1:], odd], "steel_pipe")
        maxima = [item.map.max() for item in scores]
        assert maxima[-1] == max(maxima)
        assert (scores[0].class_score is None) == (source is None)


def test_both_terms_are_averaged(weights: LoadedWeights, pictures: Pictures) -> None:
    kead = surveyed(weights, pictures[2:5], pictures[:2])
    model = kead.categories["steel_pipe"]
    assert model.bank is not None
    assert model.unlabelled is not None
    features = kead.encoder.encode(kead.encoder.prepare(pictures[5])[None])
    reduced = model.unlabelled.reduce(features)
    distance = (model.bank.anomaly_map(reduced) + model.unlabelled.anomaly_map(reduced, None)) / 2
    text = KeAD.load(KeADConfig(k=0, image_size=64), weights=weights)
    result = kead.score(pictures[5:], "steel_pipe")[0]
    zero = text.score(pictures[5:], "steel_pipe")[0]
    np.testing.assert_allclose(result.map, zero.map + distance[0].numpy(), atol=1e-5)
    assert result.class_score is not None
    expected = (result.class_score + result.map.max()) / 2
    assert result.score == pytest.approx(expected, abs=1e-6)


def test_off_is_the_few_shot_method_to_the_bit(weights: LoadedWeights, pictures: Pictures) -> None:
    kead = surveyed(weights, [], pictures[:2])
    model = kead.categories["steel_pipe"]
    assert model.bank is not None
    assert model.text is not None
    features = kead.encoder.encode(kead.encoder.prepare(pictures[5])[None])
    with torch.inference_mode():
        layers = [anomaly_probability(tokens, model.text) for tokens in features.layers]
        expected = mean_map(layers, features.grids) + model.bank.anomaly_map(features)
    for identities in (None, [Identity("a", "b")]):
        result = kead.score_features(features, "steel_pipe", identities)[0]
        assert np.array_equal(result.map, expected[0].numpy())
    assert model.unlabelled is None
    assert not any(name.startswith("unlabelled") for name in KeADStage(kead).weights())


def test_another_draw_is_another_fingerprint(weights: LoadedWeights, pictures: Pictures) -> None:
    descriptions = [
        surveyed(weights, others).describe()
        for others in (pictures[:3], pictures[1:4], pictures[:4], [])
    ]
    assert all(descriptions.count(item) == 1 for item in descriptions)
    known = descriptions[0]["categories"]["steel_pipe"]["unlabelled"]
    assert {content for content, _ in known} == {
        Identity.of_pixels(picture).content for picture in pictures[:3]
    }


def test_what_is_known_travels_to_workers(pictures: Pictures, tmp_path: Path) -> None:
    samples = []
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
        samples.append(Sample(f"{i}", str(tmp_path / f"{i}.png"), "line/a", group=f"part{i // 2}"))
    kead = KeAD.load(KeADConfig(LITE0, k=0, unlabelled=6, image_size=64))
    kead.learn("line/a", unlabelled=[(Identity.of(samples[i]), pictures[i]) for i in range(6)])
    stage = KeADStage(kead)
    worker = pickle.loads(pickle.dumps(stage))  # noqa: S301
    worker.setup("cpu", stage.weights())
    shard = make_shards(samples)[0]
    rows = run_shard(worker, shard).rows
    assert rows.equals(run_shard(stage, shard).rows)
    pixels = [kead.encoder.prepare(pictures[0])]
    alone = kead.score_prepared(pixels, ["line/a"], [Identity("0", "part0")])[0]
    assert rows["score"][0].as_py() == pytest.approx(alone.score, abs=1e-5)


def test_refusals(weights: LoadedWeights, pictures: Pictures) -> None:
    parts = [(Identity(f"{i}", "part"), pictures[i]) for i in range(2)]
    kead = KeAD.load(KeADConfig(k=0, unlabelled=2), weights=weights)
    with pytest.raises(UserError, match="one object"):
        kead.learn("steel_pipe", unlabelled=parts)
    with pytest.raises(UserError, match="unlabelled is 2"):
        kead.learn("steel_pipe")
    with pytest.raises(UserError, match="unlabelled is 0"):
        KeAD.load(KeADConfig(k=0), weights=weights).learn("steel_pipe", unlabelled=parts)
    with pytest.raises(UserError, match="compat: official"):
        KeADConfig(compat="official", unlabelled=50)
    with pytest.raises(UserError, match="2 are the fewest"):
        KeADConfig(unlabelled=1)
