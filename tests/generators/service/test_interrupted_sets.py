"""Sets that are cancelled, whose replicas die, whose service is stopped, or that get old."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from generation_requests import ask, pictures, wait
from starlette.testclient import TestClient

from millsight.generators.service.app import create_generation_app
from millsight.generators.service.sets import DAY_S, SetStore

COUNT = 12


def arrived(client, set_id, headers, least=2):
    deadline = time.monotonic() + 60
    while client.get(f"/sets/{set_id}", headers=headers).json()["attempts"] < least:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(served):
    """What the same request gives when nothing happens to it: ids in order, with their verdicts."""
    set_id = ask(served.client, served.owner, count=COUNT)
    wait(served.client, set_id, served.owner)
    return told(pictures(served.client, set_id, served.reader))


def told(seen):
    return [(one["id"], one["accepted"], one["verdicts"], one["boxes"]) for one in seen]


def test_a_cancelled_set_keeps_what_it_has(served):
    set_id = ask(served.client, served.owner, count=40)
    arrived(served.client, set_id, served.owner)
    served.client.post(f"/jobs/{set_id}/cancel", headers=served.owner)
    found = wait(served.client, set_id, served.owner)
    assert found["state"] == "cancelled"
    assert found["short"]
    assert 0 < found["accepted"] < 40
    assert found["expires"] is not None
    seen = pictures(served.client, set_id, served.reader)
    assert len(seen) == found["attempts"]
    assert found["megapixel_steps"] == pytest.approx(len(seen) * 96 * 96 / 1e6)
    archive = served.client.get(f"/sets/{set_id}/archive", headers=served.owner)
    assert archive.status_code == 200
    time.sleep(0.2)
    assert len(pictures(served.client, set_id, served.reader)) == len(seen)


def test_a_replica_killed_midway_changes_nothing(served, whole):
    pool = served.client.app.state.pool
    (process,) = pool.processes
    set_id = ask(served.client, served.owner, count=COUNT)
    arrived(served.client, set_id, served.owner)
    os.kill(process, signal.SIGKILL)
    found = wait(served.client, set_id, served.owner)
    assert (found["state"], found["accepted"]) == ("done", COUNT)
    assert told(pictures(served.client, set_id, served.reader)) == whole
    assert process not in pool.processes


@pytest.mark.slow
def test_a_service_stopped_midway_goes_on_where_it_was(served, whole, tmp_path):
    config = replace(served.config, folder=tmp_path / "service")
    with TestClient(create_generation_app(config)) as client:
        set_id = ask(client, {}, count=COUNT)
        arrived(client, set_id, {})
        first = pictures(client, set_id, {}, show="accepted")[0]["id"]
        client.patch(f"/sets/{set_id}/pictures/{first}", json={"decision": "drop"})
    landed = {path: path.stat().st_mtime_ns for path in config.folder.rglob("*.parquet")}
    stray = config.folder / "sets" / ("f" * 32)
    stray.mkdir()
    with TestClient(create_generation_app(config)) as client:
        assert not stray.exists()
        found = wait(client, set_id, {})
        assert (found["state"], found["accepted"], found["dropped"]) == ("done", COUNT, 1)
        assert told(pictures(client, set_id, {})) == whole
        assert client.get(f"/jobs/{set_id}").json()["attempts"] == 1
    for path, when in landed.items():
        assert path.stat().st_mtime_ns == when


def test_a_request_sent_again_with_its_key_is_one_set(served):
    head = {**served.owner, "Idempotency-Key": "key-1"}
    body = {"label": "scratch", "count": 1}
    first = served.client.post("/sets", json=body, headers=head)
    again = served.client.post("/sets", json=body, headers=head)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    other = served.client.post("/sets", json={**body, "count": 2}, headers=head)
    assert other.status_code == 409


def test_fifty_requests_at_once_are_made_or_told_to_come_back(served, monkeypatch):
    limits = replace(served.client.app.state.service.jobs._limits, queued_per_owner=30)
    monkeypatch.setattr(served.client.app.state.service.jobs, "_limits", limits)

    def send(seed):
        body = {"label": "pit", "count": 1, "seed": seed}
        return served.client.post("/sets", json=body, headers=served.other)

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(send, range(50)))
    assert {answer.status_code for answer in answers} <= {202, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
    made = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert len(made) == len(set(made)) >= 30
    for set_id in made:
        found = wait(served.client, set_id, served.other)
        assert (found["state"], found["accepted"]) == ("done", 1)


def test_sets_go_after_their_time_and_only_then(served):
    kept = ask(served.client, served.owner, count=1)
    taken = ask(served.client, served.owner, count=1)
    for set_id in (kept, taken):
        wait(served.client, set_id, served.owner)
    served.client.get(f"/sets/{taken}/archive", headers=served.owner)
    database = served.client.app.state.service.database

    def there(days):
        later = SetStore(served.config.folder, database, lambda: time.time() + days * DAY_S)
        later.sweep(7, 90)
        return [
            served.client.get(f"/sets/{one}", headers=served.reader).status_code == 200
            for one in (kept, taken)
        ]

    assert there(6.9) == [True, True]
    assert there(7.1) == [True, False]
    assert not served.state.sets.folder(taken).exists()
    assert there(89.9) == [True, False]
    assert there(90.1) == [False, False]
