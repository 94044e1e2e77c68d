from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
import small_tasks
from small_tasks import attempts, work

from millsight.platform.errors import UserError
from millsight.platform.executors import ray_tasks
from millsight.platform.executors.tasks import TaskExecutionConfig

ON_RAY = TaskExecutionConfig("ray", workers=2)


@pytest.fixture
def on_ray(ray_session: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(small_tasks)
    monkeypatch.setattr(ray_tasks, "RETRY_SECONDS", 0.2)
    monkeypatch.chdir(tmp_path)


def test_in_this_process_one_after_another(tmp_path):
    done = []
    tasks = {name: partial(work, tmp_path, name, "well") for name in "abc"}
    results = TaskExecutionConfig().run(tasks, done.append)
    assert list(results) == done == ["a", "b", "c"]
    assert {pid for pid, _, _ in results.values()} == {os.getpid()}


def test_a_killed_worker_costs_its_own_attempt_only(on_ray, tmp_path, capsys):
    fates = {"a": "well", "b": "kill-once", "c": "raise-once", "d": "well"}
    done = []
    # A relative path means the same in a worker as here.
    tasks = {name: partial(work, Path(), name, fate) for name, fate in fates.items()}
    results = ON_RAY.run(tasks, done.append)
    assert list(results) == list(fates)
    assert sorted(done) == list(fates)
    assert {name: attempts(tmp_path, name) for name in fates} == {"a": 1, "b": 2, "c": 2, "d": 1}
    assert len({pid for pid, _, _ in results.values()}) == 4, "a process for each"
    assert os.getpid() not in {pid for pid, _, _ in results.values()}
    assert {threads for _, threads, _ in results.values()} == {"1"}
    assert {folder for _, _, folder in results.values()} == {str(tmp_path)}
    assert "b: tried again" in capsys.readouterr().err


def test_a_task_that_always_fails_is_given_up_when_the_others_are_done(on_ray, tmp_path):
    fates = {"a": "kill", "b": "well"}
    tasks = {name: partial(work, tmp_path, name, fate) for name, fate in fates.items()}
    with pytest.raises(RuntimeError, match=r"1 of 2 tasks failed 3 times(.|\n)*a: its worker died"):
        ON_RAY.run(tasks)
    assert {name: attempts(tmp_path, name) for name in fates} == {"a": 3, "b": 1}


def test_what_the_user_can_mend_is_said_at_once(on_ray, tmp_path):
    with pytest.raises(UserError, match="--flag"):
        ON_RAY.run({"a": partial(work, tmp_path, "a", "user-error")})
    assert attempts(tmp_path, "a") == 1


@pytest.mark.parametrize(
    "wrong",
    [{"workers": 2}, {"executor": "ray", "workers": 0}, {"executor": "ray", "gpus_per_worker": -1}],
)
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(UserError, match="--execution"):
        TaskExecutionConfig(**wrong).check()
