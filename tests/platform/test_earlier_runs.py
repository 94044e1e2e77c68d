"""What a training does with an earlier run of the same settings: resume, fresh, or neither."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import filelock
import pytest

from millsight.platform import storage
from millsight.platform.artifacts import Artifact, drafting, find_artifact, open_artifact
from millsight.platform.commands import TrainingOutputConfig
from millsight.platform.errors import RefusedError, UserError
from millsight.platform.fingerprints import Recipe

RECIPE = Recipe("backbone", 1, {"epochs": 3}, {}, {})
OTHER = replace(RECIPE, config={"epochs": 4})


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path) -> str:
    if request.param == "local":
        return str(tmp_path / "run")
    return f"memory://{uuid.uuid4().hex}/run"


def begin(path: str, recipe: Recipe = RECIPE) -> None:
    with drafting(path, recipe) as draft:
        storage.write_bytes(draft.file("checkpoint.pt"), b"epoch 1")


def finish(path: str, recipe: Recipe = RECIPE) -> Artifact:
    with drafting(path, recipe) as draft:
        storage.write_bytes(draft.file("deep/weights"), b"trained")
        return draft.commit()


def exists(path: str) -> bool:
    fs, local = storage.filesystem(path)
    return bool(fs.exists(local))


def find(path: str, **flags: bool) -> Artifact | None:
    return TrainingOutputConfig(output=path, **flags).find(RECIPE)


def test_left_alone_it_begins_goes_on_and_ends(place):
    assert find(place) is None
    begin(place)
    assert find(place) is None
    assert exists(f"{place}.partial/checkpoint.pt")
    finish(place)
    assert find(place).fingerprint == RECIPE.fingerprint


def test_resume_needs_a_run_of_these_very_settings(place):
    with pytest.raises(UserError, match=r"--resume: .* holds no run of these settings"):
        find(place, resume=True)
    begin(place, OTHER)
    with pytest.raises(UserError, match="--resume"):
        find(place, resume=True)
    finish(place, OTHER)
    with pytest.raises(RefusedError, match=r"differ in config\.epochs"):
        find(place, resume=True)


def test_resume_takes_an_unfinished_and_a_finished_run(place):
    begin(place)
    assert find(place, resume=True) is None
    assert exists(f"{place}.partial/checkpoint.pt")
    finish(place)
    assert find(place, resume=True).path == place


def test_fresh_removes_this_run_alone(place):
    neighbour = f"{place}-2"
    assert find(place, fresh=True) is None
    begin(place)
    begin(neighbour)
    assert find(place, fresh=True) is None
    assert not exists(f"{place}.partial")
    finish(place)
    finish(neighbour)
    assert find(place, fresh=True) is None
    assert not exists(place)
    assert open_artifact(neighbour).fingerprint == RECIPE.fingerprint
    finish(place)


def test_fresh_removes_nobody_elses(place):
    finish(place, OTHER)
    with pytest.raises(RefusedError, match=r"differ in config\.epochs"):
        find(place, fresh=True)
    assert find_artifact(place, OTHER) is not None
    begin(f"{place}-begun", OTHER)
    assert find(f"{place}-begun", fresh=True) is None
    assert exists(f"{place}-begun.partial/checkpoint.pt")
    storage.write_bytes(f"{place}-mine/notes.txt", b"keep me")
    with pytest.raises(RefusedError, match="not a millsight artifact"):
        find(f"{place}-mine", fresh=True)
    assert exists(f"{place}-mine/notes.txt")


def test_fresh_leaves_a_run_that_is_going_on(tmp_path):
    begin(str(tmp_path / "run"))
    with filelock.FileLock(tmp_path / ".run.lock"), pytest.raises(RefusedError, match="wait"):
        find(str(tmp_path / "run"), fresh=True)
    assert exists(str(tmp_path / "run.partial/checkpoint.pt"))


def test_both_at_once_are_refused(place):
    finish(place)
    with pytest.raises(UserError, match=r"--resume .* --fresh .* one of them"):
        find(place, resume=True, fresh=True)
    assert find(place) is not None


def test_nothing_is_left_behind(tmp_path):
    finish(str(tmp_path / "run"))
    find(str(tmp_path / "run"), fresh=True)
    assert [path.name for path in Path(tmp_path).iterdir()] == [".run.lock"]
