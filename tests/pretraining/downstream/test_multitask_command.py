"""``millsight finetune multitask`` from pictures to files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tiny_multitask import SETTINGS

from millsight.evaluation.results import table as tables
from millsight.evaluation.results.masks import add_masks
from millsight.evaluation.results.scores import add_scores
from millsight.evaluation.results.truth import from_samples
from millsight.platform.catalog.synthetic import COMPOSED
from millsight.platform.errors import UserError
from millsight.platform.executors.training import TrainingExecutionConfig
from millsight.platform.tracking import TrackingConfig, read_runs
from millsight.pretraining.downstream.multitask.commands import FinetuneMultitaskConfig, multitask
from millsight.pretraining.downstream.multitask.data import read_pictures
from millsight.pretraining.downstream.multitask.model import read_model
from millsight.pretraining.downstream.multitask.predict import predict


@pytest.fixture(scope="module")
def finished(catalog, tmp_path_factory):
    folder = tmp_path_factory.mktemp("multitask")
    catalog.write(folder / "catalog.parquet")
    config = FinetuneMultitaskConfig(
        workspace=str(folder / "runs"),
        data=str(folder / "catalog.parquet"),
        training=SETTINGS,
        formats=["onnx"],
        tracking=TrackingConfig("disabled", directory=str(folder / "tracking")),
        accelerator="cpu",
        threads=1,
    )
    return multitask(config), config, folder


def test_the_command_leaves_predictions_any_evaluator_reads(finished, catalog):
    outcome, _, folder = finished
    assert outcome.exit_code == 0
    root = Path(outcome.artifact.path)
    table = pq.read_table(root / "predictions.parquet").to_pylist()
    test = catalog.where(split="test")
    assert [row["sample_id"] for row in table] == [sample.id for sample in test]
    metrics = outcome.artifact.manifest["metrics"]
    model = read_model(str(root))
    pictures, _ = read_pictures(test.samples, (64, 64), lambda done, total: None)
    for row, found, sample in zip(table, predict(model, pictures, 4), test, strict=True):
        assert row["score"] == pytest.approx(found.score, abs=1e-5)
        assert row["decision"] == (row["score"] >= metrics["sample_threshold"])
        mask = cv2.imread(str(root / row["mask"]), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (sample.height, sample.width)
        assert set(np.unique(mask)) <= {0, 255}
    rows = add_masks(from_samples(test), str(root / "masks"))
    rows = add_scores(rows, str(root / "predictions.csv"))
    assert [row.decision for row in rows] == [row["decision"] for row in table]
    assert all(row.tp is not None for row in rows)
    assert sorted(path.name for path in root.iterdir()) == [
        "artifact.json",
        "gradients.parquet",
        "masks",
        "model.json",
        "model.onnx",
        "model.safetensors",
        "predictions.csv",
        "predictions.parquet",
        "quarantine.json",
        "results.parquet",
        "thresholds.json",
    ]
    (run,) = read_runs(folder / "tracking")
    assert run.status == "finished"
    logged = {name for row in run.history for name in row}
    assert {"train/loss", "val/loss", "learning_rate"} <= logged
    assert any(re.match("gradient/sample/", name) for name in logged)


def test_a_finished_run_is_not_made_again(finished, capsys):
    outcome, config, _ = finished
    assert multitask(config).artifact.fingerprint == outcome.artifact.fingerprint
    assert "Trained already" in capsys.readouterr().out


def test_the_result_table_holds_what_masks_and_scores_say(finished, catalog):
    outcome, _, _ = finished
    root = Path(outcome.artifact.path)
    table = tables.read_table(root / "results.parquet")
    assert tables.run_of(table) == outcome.artifact.fingerprint
    wanted = add_masks(from_samples(catalog.where(split="test")), str(root / "masks"))
    wanted = add_scores(wanted, str(root / "predictions.csv"))
    assert sorted(tables.from_table(table), key=lambda row: row.uri) == sorted(
        wanted, key=lambda row: row.uri
    )


@pytest.mark.slow
@pytest.mark.timeout(900)  # Ray gives its workers the lowest priority: slow beside others.
def test_ray_train_ends_with_the_weights_of_this_process(finished, tmp_path, ray_session):
    outcome, config, _ = finished
    execution = TrainingExecutionConfig("ray")
    away = multitask(replace(config, workspace=str(tmp_path), execution=execution))
    assert away.artifact.fingerprint == outcome.artifact.fingerprint
    wanted, found = (read_model(run.artifact.path).state_dict() for run in (outcome, away))
    assert all(torch.allclose(wanted[name], found[name], atol=1e-5) for name in wanted)
    names = sorted(path.name for path in Path(away.artifact.path).iterdir())
    assert names == sorted(path.name for path in Path(outcome.artifact.path).iterdir())


@pytest.mark.parametrize(
    ("changes", "training", "message"),
    [
        ({}, {"image_size": 50}, r"--training\.image_size 50"),
        ({}, {"image_width": 50}, r"--training\.image_width 50"),
        ({}, {"encoder_rate": -1.0}, r"--training\.encoder_rate"),
        ({"execution": TrainingExecutionConfig(workers=2)}, {}, r"--execution\.executor ray"),
        ({}, {"decoder_channels": [8]}, r"--training\.decoder_channels"),
        ({}, {"batch_size": 999}, r"--training\.batch_size 999"),
        ({"split": "vel"}, {}, "--split vel: no picture"),
    ],
)
def test_mistakes_are_named(finished, tmp_path, changes, training, message):
    _, config, _ = finished
    settings = replace(SETTINGS, **training)
    wrong = replace(config, workspace=str(tmp_path / "w"), training=settings, **changes)
    with pytest.raises(UserError, match=message):
        multitask(wrong)
    assert not list(tmp_path.glob("w/*.partial"))


def test_a_loss_that_is_not_finite_ends_the_run_with_one_sentence(finished, tmp_path):
    _, config, _ = finished
    settings = replace(SETTINGS, learning_rate=1e30)
    wrong = replace(config, workspace=str(tmp_path / "w"), training=settings)
    with pytest.raises(UserError, match=r"the loss became nan at step 1 .*lower --training\.learn"):
        multitask(wrong)


def test_synthetic_pictures_take_the_places_of_their_class(finished, catalog, tmp_path, capsys):
    _, config, _ = finished
    real = [sample for sample in catalog.where(split="train") if sample.defective]
    made = [replace(sample, split="train", synthetic=COMPOSED) for sample in real[:3]]
    catalog.with_samples(made).write(tmp_path / "made.parquet")
    extra = replace(
        config,
        extra=[str(tmp_path / "made.parquet")],
        training=replace(SETTINGS, epochs=1),
        formats=[],
    )
    run = multitask(extra).artifact
    metrics = run.manifest["metrics"]
    assert metrics["synthetic_learned"] == 3
    assert metrics["pictures_learned"] == len(catalog.where(split="train"))
    assert "extra_0" in run.manifest["inputs"]
    assert f"{made[0].label} " in capsys.readouterr().out
    odd = [replace(made[0], label="unheard of")]
    catalog.with_samples(odd).write(tmp_path / "odd.parquet")
    with pytest.raises(UserError, match="shows 'unheard of'"):
        multitask(replace(extra, extra=[str(tmp_path / "odd.parquet")]))
