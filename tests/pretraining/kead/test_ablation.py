from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import save_file

from millsight.evaluation.metrics import BootstrapConfig, evaluate_maps
from millsight.platform.catalog.pictures import open_picture
from millsight.platform.catalog.sample import Sample
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.kead.ablation import ablate
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.references import choose_references, order_unlabelled
from millsight.pretraining.kead.unlabelled import Identity

LITE0 = "embedded:efficientnet-lite0"


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    rng = np.random.default_rng(0)
    found = []
    for category in ("steel_pipe", "gc10"):
        for i in range(8):
            split, defective = ("train" if i < 4 else "test"), i >= 6
            picture = rng.normal(128, 12, (64, 64, 3))
            mask = np.zeros((64, 64), dtype=np.uint8)
            if defective:
                mask[16:40, 20:30] = 255
                picture[mask > 0] += 90
            name = tmp_path / f"{category}{i}.png"
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(name)
            mask_uri = str(name.with_suffix(".mask.png")) if defective else None
            if mask_uri:
                Image.fromarray(mask).save(mask_uri)
            label = "bump" if defective else "good"
            found.append(
                Sample(
                    name.stem,
                    str(name),
                    category,
                    split,
                    label=label,
                    mask_uri=mask_uri,
                    width=64,
                    height=64,
                )
            )
    return found


@pytest.fixture
def clip(weights: LoadedWeights, tmp_path: Path) -> str:
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(weights.config))
    save_file(dict(weights.state_dict), folder / "open_clip_model.safetensors")
    return f"path:{folder}"


def test_the_grid_and_its_numbers(samples: list[Sample], clip: str) -> None:
    test = [sample for sample in samples if sample.split == "test"]
    base = KeADConfig(image_size=64)
    table = ablate(test[::-1], samples, [clip, LITE0], shots=(0, 1, 2), base=base)
    assert isinstance(table, pd.DataFrame)
    # CLIP: 2 prompts x 2 attentions x 3 k; without text: 2 k. Two categories and their mean.
    assert len(table) == (12 + 2) * 3
    vision = table[table["encoder"] == LITE0]
    assert set(vision["k"]) == {1, 2}
    assert set(vision["prompts"]) == {"none"}
    best = vision[(vision["k"] == 2) & (vision["category"] == "mean")].iloc[0]
    assert best["image_auroc"] == 1.0
    for prompts, attention, k in (("generic", "qk", 0), ("defects", "vv", 2)):
        rows = table[(table["encoder"] == clip) & (table["k"] == k)]
        rows = rows[(rows["prompts"] == prompts) & (rows["attention"] == attention)]
        config = KeADConfig(
            encoder=clip,
            k=k,
            sentences=prompts,
            attention=attention,
            image_size=64,  # type: ignore[arg-type]
        )
        expected = score_plainly(config, samples, test)
        for _, row in rows.iterrows():
            if row["category"] != "mean":
                assert row["image_auroc"] == pytest.approx(expected[row["category"]])


def test_every_variant_with_and_without_unlabelled_pictures(
    samples: list[Sample], clip: str
) -> None:
    test = [sample for sample in samples if sample.split == "test"]
    base = KeADConfig(image_size=64, unlabelled=3)
    table = ablate(test, samples, [clip, LITE0], shots=(0, 1), base=base)
    # CLIP: 2 prompts x 2 attentions x 2 k x 2; without text: k = 0 needs them.
    assert len(table) == (16 + 3) * 3
    vision = table[table["encoder"] == LITE0]
    assert sorted(set(zip(vision["k"], vision["unlabelled"], strict=True))) == [
        (0, 3),
        (1, 0),
        (1, 3),
    ]
    for k in (0, 1):
        expected = score_plainly(KeADConfig(LITE0, k=k, unlabelled=3, image_size=64), samples, test)
        rows = vision[(vision["k"] == k) & (vision["unlabelled"] == 3)]
        found = dict(zip(rows["category"], rows["image_auroc"], strict=True))
        assert {name: found[name] for name in expected} == pytest.approx(expected)


def score_plainly(
    config: KeADConfig, samples: list[Sample], test: list[Sample]
) -> dict[str, float]:
    kead = KeAD.load(config)
    others = order_unlabelled(test, config)
    for category, chosen in choose_references(samples, config).items():
        kead.learn(
            category,
            [open_picture(sample.uri) for sample in chosen],
            [(Identity.of(s), open_picture(s.uri)) for s in others[category][: config.unlabelled]],
        )
    scores = [
        kead.score_prepared(
            [kead.encoder.prepare(open_picture(s.uri))], [s.category], [Identity.of(s)]
        )[0]
        for s in test
    ]
    evaluation = evaluate_maps(
        [score.score for score in scores],
        [sample.defective for sample in test],
        [None] * len(test),
        [None] * len(test),
        categories=[sample.category for sample in test],
        bootstrap=BootstrapConfig(n_resamples=0),
    )
    return {row.category: row.image_auroc.value for row in evaluation.categories}
