from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch

from millsight.evaluation.metrics.bootstrap import Estimate
from millsight.evaluation.results import table as tables
from millsight.evaluation.results.judging import judge_samples
from millsight.platform import storage
from millsight.platform.errors import UserError
from millsight.platform.tracking import TrackingConfig
from millsight.pretraining.downstream.multitask.config import MultitaskConfig
from millsight.pretraining.downstream.multitask.experiment_commands import (
    ExperimentConfig,
    experiment,
)
from millsight.pretraining.downstream.multitask.gradient_figure import bin_means
from millsight.pretraining.downstream.table_commands import TableConfig, table

TRAINING = MultitaskConfig(
    encoder="random:timm:test_efficientnet?seed=0",
    image_size=64,
    decoder_channels=[16, 8, 8, 8, 8],
    epochs=1,
    batch_size=4,
    holdout=0.4,
    gradient_pictures=4,
)


@pytest.fixture(scope="module")
def made(catalog, tmp_path_factory):
    before = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("experiment")
    catalog.write(folder / "catalog.parquet")
    config = ExperimentConfig(
        workspace=str(folder / "runs"),
        data=str(folder / "catalog.parquet"),
        name="little",
        modes=["pixel", "gated"],
        seeds=[0, 1],
        training=TRAINING,
        tracking=TrackingConfig("disabled", directory=str(folder / "tracking")),
        accelerator="cpu",
        threads=1,
    )
    yield config, experiment(config)
    torch.set_num_threads(before)


def rows_of(outcome):
    content = json.loads(Path(outcome.artifact.path, "rows.json").read_text("utf-8"))
    return {row["mode"]: row for row in content["rows"]}


def test_rows_are_means_over_seeds_of_what_the_evaluation_says(made):
    config, outcome = made
    rows = rows_of(outcome)
    assert list(rows) == ["pixel", "pixel, any pixel", "gated", "gated - pixel"]
    judged = {}
    for path in sorted(Path(config.workspace).glob("multitask-*/artifact.json")):
        settings = json.loads(path.read_text("utf-8"))["config"]
        found = tables.from_table(tables.read_table(path.with_name("results.parquet")))
        judged[settings["mode"], settings["seed"]] = judge_samples(list(found)).overall
    assert len(judged) == 4
    for name in ("seg_miou", "seg_recall", "sample_f1", "pooled_miou"):
        pixel = [getattr(judged["pixel", seed], name).value for seed in (0, 1)]
        gated = [getattr(judged["gated", seed], name).value for seed in (0, 1)]
        assert rows["gated"][name]["value"] == pytest.approx(np.mean(gated))
        assert rows["gated"][name]["seeds"] == pytest.approx(gated)
        assert rows["gated"][name]["spread"] == pytest.approx(np.std(gated, ddof=1))
        gap = np.mean(gated) - np.mean(pixel)
        assert rows["gated - pixel"][name]["value"] == pytest.approx(gap)
        drawn = [
            (judged["gated", seed].replicates[name] - judged["pixel", seed].replicates[name])
            for seed in (0, 1)
        ]
        wanted = Estimate.of(gap, np.mean(drawn, axis=0), 0.95, 1)
        assert rows["gated - pixel"][name]["low"] == pytest.approx(wanted.low)
        assert rows["gated - pixel"][name]["high"] == pytest.approx(wanted.high)


def test_a_second_run_trains_nothing(made, capsys):
    config, outcome = made
    assert experiment(config).artifact.fingerprint == outcome.artifact.fingerprint
    assert capsys.readouterr().out.count("Trained already") == 4


def test_the_table_and_the_figure(made, tmp_path):
    _, outcome = made
    found = table(TableConfig(experiments=[outcome.artifact.path], workspace=str(tmp_path)))
    root = Path(found.artifact.path)
    lines = (root / "table.md").read_text("utf-8").splitlines()
    assert lines[0].startswith("| data | mode | Seg_mIoU | Seg_Recall | sample F1 | pooled mIoU")
    assert [line.split(" | ")[1] for line in lines[2:]] == list(rows_of(outcome))
    assert all(line.startswith("| little") for line in lines[2:])
    assert len((root / "table.csv").read_text("utf-8").splitlines()) == 1 + 4 * 4
    assert json.loads((root / "table.json").read_text("utf-8"))[0]["data"] == "little"
    figure = ET.fromstring((root / "gradients.svg").read_text("utf-8"))  # noqa: S314
    text = " ".join(figure.itertext())
    assert "little: gradient norm" in text
    assert "sample's loss, gated" in text
    assert "joint" not in text
    rows = storage.read_table(outcome.artifact.file("gradients.parquet"))
    means = bin_means(rows, "gated", "sample")
    assert all(len(seeds) == 2 and min(seeds) > 0 for seeds in means.values())
    good = [
        row["sample"]
        for row in rows.to_pylist()
        if (row["mode"], row["seed"], row["area"]) == ("gated", 1, 0)
    ]
    assert means["good"][1] == pytest.approx(np.mean(good))


@pytest.mark.parametrize("changes", [{"modes": []}, {"seeds": [1, 1]}])
def test_nothing_to_compare_is_refused(made, changes):
    with pytest.raises(UserError, match=f"--{next(iter(changes))}"):
        experiment(replace(made[0], **changes))
    with pytest.raises(UserError, match="--experiments"):
        table(TableConfig(experiments=[]))
