from __future__ import annotations

import json
from pathlib import Path

import pytest
from executor_stages import CountingStage, make_samples

from millsight.platform import storage
from millsight.platform.catalog.sample import Quarantined
from millsight.platform.errors import RefusedError
from millsight.platform.executors import ExecutionConfig
from millsight.platform.fingerprints import Recipe
from millsight.platform.runs import StageRun, read_quarantine
from millsight.platform.tracking import TrackingConfig, read_runs


def write_rows(merged, draft):
    storage.write_table(draft.file("rows.parquet"), merged.rows)
    return {"total": sum(merged.rows["score"].to_pylist())}


@pytest.fixture
def markers(tmp_path) -> Path:
    (tmp_path / "markers").mkdir()
    return tmp_path / "markers"


def stage_run(folder: Path, name: str = "a", **extra: object) -> StageRun:
    return StageRun(
        Recipe("rows", 1, {"name": "a"}),
        str(folder / name),
        ExecutionConfig(shard_size=4),
        TrackingConfig("disabled", group="night", directory=str(folder / "tracking")),
        **extra,
    )


def test_a_whole_run_makes_an_artifact_and_is_tracked(tmp_path, markers):
    run = stage_run(tmp_path)
    assert run.finished() is None
    outcome = run.run(CountingStage(markers), make_samples(10), write_rows)
    assert outcome.exit_code == 0
    assert outcome.artifact.manifest["metrics"] == {"pictures": 10, "quarantined": 0, "total": 90}
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "artifact.json",
        "quarantine.json",
        "rows.parquet",
    ]
    assert run.finished() == outcome
    (record,) = read_runs(tmp_path / "tracking")
    assert record.status == "finished"
    assert record.summary["shards_landed"] == 3
    with pytest.raises(RefusedError):
        StageRun(Recipe("rows", 1, {"name": "b"}), run.path).finished()


def test_pictures_set_aside_give_status_3_now_and_later(tmp_path, markers):
    early = Quarantined("zero.png", "empty file")
    run = stage_run(tmp_path, quarantined=[early])
    samples = make_samples(10, {7: "damaged"})
    outcome = run.run(CountingStage(markers), samples, write_rows)
    assert outcome.exit_code == 3
    assert read_quarantine(outcome.artifact) == [early, Quarantined("damaged", "damaged", "7")]
    assert json.loads((tmp_path / "a" / "quarantine.json").read_text())[1]["sample_id"] == "7"
    assert outcome.artifact.manifest["metrics"]["pictures"] == 9
    assert run.finished().exit_code == 3


def test_a_failed_shard_keeps_the_rest_and_a_rerun_finishes(tmp_path, markers, capsys):
    run = stage_run(tmp_path)
    outcome = run.run(CountingStage(markers), make_samples(12, {5: "raise"}), write_rows)
    assert (outcome.exit_code, outcome.artifact) == (1, None)
    assert run.finished() is None
    partial = tmp_path / "a.partial"
    assert len(list((partial / "shards").iterdir())) == 2
    (failure,) = (partial / "failed").iterdir()
    assert "cannot process 5" in failure.read_text()
    err = capsys.readouterr().err
    assert "1 shards failed" in err
    assert "after 3 attempts: ValueError: cannot process 5" in err
    assert str(partial) in err
    (record,) = read_runs(tmp_path / "tracking")
    assert record.status == "failed"

    # The same pictures, the cause mended: what had landed is not computed again.
    calm = CountingStage(markers)
    calm.misbehave = lambda sample: None
    for path in markers.iterdir():
        path.unlink()
    again = run.run(calm, make_samples(12, {5: "raise"}), write_rows)
    assert again.exit_code == 0
    assert {path.name.split(".")[0] for path in markers.glob("process-*")} == {
        f"process-{number}" for number in (4, 5, 6, 7)
    }
    whole = stage_run(tmp_path, "b")
    whole.run(calm, make_samples(12, {5: "raise"}), write_rows)
    first, second = ((tmp_path / name / "rows.parquet").read_bytes() for name in "ab")
    assert first == second


def test_an_error_with_brackets_is_printed_as_it_is(tmp_path, markers, capsys):
    stage = CountingStage(markers)

    def misbehave(sample):
        raise ValueError("[/red] is no [bold] file")

    stage.misbehave = misbehave
    outcome = stage_run(tmp_path).run(stage, make_samples(2), write_rows)
    assert outcome.exit_code == 1
    assert "[/red] is no [bold] file" in capsys.readouterr().err
