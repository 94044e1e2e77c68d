"""`millsight generate sample` from a catalog of real pictures to a labelled set."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from defect_materials import write_materials

from millsight.generators.production import engines
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.synthetic import COMPOSED
from millsight.platform.cli import main
from millsight.platform.shards import ShardStore
from millsight.platform.tracking import read_runs


@pytest.fixture
def catalog(tmp_path) -> Path:
    materials = write_materials(tmp_path / "real")
    path = tmp_path / "real.parquet"
    Catalog((*materials.plates, *materials.defects)).write(path)
    return path


def generate(catalog: Path, tmp_path: Path, *words: str) -> int:
    tracking = ["--tracking.wandb", "disabled", "--tracking.directory", str(tmp_path / "tracking")]
    places = ["--data", str(catalog), "--output", str(tmp_path / "made")]
    fixed = ["--spec.label", "scratch", "--spec.count", "5", "--execution.device", "cpu"]
    return main(["generate", "sample", *places, *fixed, *tracking, *words])


def test_a_set_is_what_its_provenance_says_and_is_read_back(catalog, tmp_path, capsys):
    assert generate(catalog, tmp_path, "--zip", "true") == 0
    made = tmp_path / "made"
    samples = list(load_data(str(made / "set")))
    assert [(one.label, one.split, one.synthetic) for one in samples] == (
        [("scratch", "train", COMPOSED)] * 5
    )
    rows = [json.loads(line) for line in (made / "set" / "provenance.jsonl").open()]
    assert sorted(row["request"]["index"] for row in rows) == list(range(5))
    for sample in samples:
        assert sample.mask_uri is not None
        mask = cv2.imread(sample.mask_uri, cv2.IMREAD_GRAYSCALE)
        assert np.isin(mask, (0, 255)).all()
        assert mask.any()
    for name in ("set.zip", "accepted.jpg", "set/README.md"):
        assert (made / name).stat().st_size > 0
    metrics = json.loads((made / "artifact.json").read_text())["metrics"]
    assert (metrics["wanted"], metrics["accepted"], metrics["missing"]) == (5, 5, [])
    assert "5 of 5 samples of scratch accepted" in capsys.readouterr().out
    assert not (made / "shards").exists()
    (run,) = read_runs(str(tmp_path / "tracking"))
    assert list(run.pictures["sheets"]) == ["accepted.jpg"]

    before = (made / "artifact.json").stat().st_mtime_ns
    assert generate(catalog, tmp_path, "--zip", "true") == 0
    assert "Made already" in capsys.readouterr().out
    assert (made / "artifact.json").stat().st_mtime_ns == before


def test_a_set_that_is_short_says_so_and_exits_3(catalog, tmp_path, capsys, monkeypatch):
    built = []

    class Counted(engines.CopyPasteEngine):
        def __init__(self, *words):
            built.append(self)
            super().__init__(*words)

    monkeypatch.setattr(engines, "CopyPasteEngine", Counted)
    quota = ["--filters.quota", "2", "--budget.attempts", "2"]
    assert generate(catalog, tmp_path, *quota) == 3
    out = capsys.readouterr().out
    assert "2 of 5 samples of scratch accepted" in out
    assert "3 are missing" in out
    assert len(list(load_data(str(tmp_path / "made" / "set")))) == 2
    assert (tmp_path / "made" / "rejected.jpg").exists()
    rejected = [json.loads(line) for line in (tmp_path / "made" / "rejected.jsonl").open()]
    metrics = json.loads((tmp_path / "made" / "artifact.json").read_text())["metrics"]
    assert len(rejected) == metrics["attempts"] - metrics["accepted"]
    for row in rejected:
        assert {one["name"]: one["accepted"] for one in row["verdicts"]}["quota"] is False
        assert {"index", "attempt", "seed"} <= row["request"].keys()
    assert len(built) == 1, "for both rounds"


def test_the_set_does_not_depend_on_shards_and_batches(catalog, tmp_path):
    assert generate(catalog, tmp_path) == 0
    cut = ["--execution.shard_size", "2", "--budget.batch_size", "1"]
    assert generate(catalog, tmp_path, *cut, "--output", str(tmp_path / "other")) == 0
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "set").rglob("*.png")}
        for name in ("made", "other")
    )
    assert one == other


def test_chosen_samples_are_made_again_of_what_they_were_made_of(catalog, tmp_path):
    assert generate(catalog, tmp_path) == 0
    rows = [json.loads(line) for line in (tmp_path / "made/set/provenance.jsonl").open()]
    row = next(row for row in rows if row["request"]["index"] == 3)
    name = f"3/{row['request']['attempt']}"
    again = ["--output", str(tmp_path / "again"), "--only", name]
    assert generate(catalog, tmp_path, *again) == 0
    (path,) = (tmp_path / "again/set/images").rglob("*.png")
    assert path.read_bytes() == (tmp_path / "made/set" / row["file"]).read_bytes()
    named = [row["provenance"][role]["id"] for role in ("plate", "source")]
    narrow = ["--plates", named[0], "--defects", named[1], "--output", str(tmp_path / "narrow")]
    assert generate(catalog, tmp_path, *narrow) in {0, 3}
    made = [json.loads(line) for line in (tmp_path / "narrow/set/provenance.jsonl").open()]
    used = {tuple(one["provenance"][role]["id"] for role in ("plate", "source")) for one in made}
    assert used == {tuple(named)}
    card = (tmp_path / "narrow/set/README.md").read_text()
    assert all(name in card for name in (*named, "copy_share"))


def test_a_disk_that_fills_up_is_told_and_the_same_command_goes_on(
    catalog, tmp_path, capsys, monkeypatch
):
    land, landed = ShardStore.land, []

    def full(store, shard_id, output):
        if landed:
            raise OSError(errno.ENOSPC, "No space left on device")
        landed.append(shard_id)
        land(store, shard_id, output)

    monkeypatch.setattr(ShardStore, "land", full)
    assert generate(catalog, tmp_path, "--execution.shard_size", "2") == 1
    err = capsys.readouterr().err
    assert "2 shards failed" in err
    assert "No space left on device" in err
    assert "made.partial/failed" in err
    assert not (tmp_path / "made").exists()
    monkeypatch.undo()
    assert generate(catalog, tmp_path, "--execution.shard_size", "2") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--spec.label", "dent"], "no real picture of that class to make more of; there are scr"),
        (["--only", "5/0"], "--only 5/0: INDEX/ATTEMPT, two numbers from 0, the first below"),
        (["--only", "1"], "--only 1: INDEX/ATTEMPT"),
        (["--plates", "f" * 32], "the training split has no such picture of that kind"),
        (["--spec.count", "0"], "--spec.count 0: ask for at least 1"),
        (["--spec.mode", "inpaint", "--diffusion.base", "nowhere"], "nowhere"),
        (["--scorer", "nobody"], "'nobody' is not installed; there are: kead"),
        (["--spec.mode", "text", "--format", "coco"], "--format coco tells classes by boxes"),
    ],
)
def test_a_mistake_is_told_and_leaves_nothing(catalog, tmp_path, capsys, words, message):
    assert generate(catalog, tmp_path, *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
