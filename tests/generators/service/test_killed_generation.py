"""The service killed with -9 while sets are made, and started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from drawn_defects import CONFIG
from generation_requests import ask, pictures, wait
from service_process import ServiceProcess

COUNT = 40


@pytest.fixture
def service(tmp_path: Path, real_steel: Path) -> Iterator[ServiceProcess]:
    made = ServiceProcess(
        "generation",
        tmp_path / "service",
        catalogs=[{"name": "steel", "data": str(real_steel)}],
        filters=asdict(CONFIG),
        lease_s=1.5,
        shard_size=2,
        replicas=2,
        device="cpu",
        threads=1,
    )
    yield made
    made.kill()


def children(parent: int) -> set[int]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if ppid == parent:
            found.add(int(entry.name))
    return found


@pytest.mark.slow
def test_nothing_is_lost_or_doubled(service: ServiceProcess) -> None:
    service.start()
    client = service.client
    first = ask(client, {}, count=COUNT)
    others = [ask(client, {}, label="pit", count=3, seed=seed) for seed in range(3)]
    while client.get(f"/sets/{first}").json()["attempts"] < 6:
        time.sleep(0.01)
    dropped = pictures(client, first, {}, show="accepted")[0]["id"]
    client.patch(f"/sets/{first}/pictures/{dropped}", json={"decision": "drop"})
    assert service.process is not None
    replicas = children(service.process.pid)
    assert len(replicas) >= 2
    service.kill()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{one}").exists() for one in replicas):
        assert time.monotonic() < deadline, "replicas go with their service"
        time.sleep(0.05)
    landed = {path: path.stat().st_mtime_ns for path in service.folder.rglob("*.parquet")}

    service.start()
    for set_id in (first, *others):
        found = wait(client, set_id, {})
        assert (found["state"], found["accepted"]) == ("done", found["count"]), found
        seen = [one["id"] for one in pictures(client, set_id, {})]
        assert len(seen) == len(set(seen)) == found["attempts"]
    kept = client.get(f"/sets/{first}").json()
    assert kept["dropped"] == 1
    assert client.get(f"/jobs/{first}").json()["attempts"] == 2
    assert {path.stat().st_mtime_ns == when for path, when in landed.items()} == {True}

    # The same request, undisturbed, gives the same set.
    again = ask(client, {}, count=COUNT)
    wait(client, again, {})
    one, other = (pictures(client, set_id, {}) for set_id in (first, again))
    assert [(p["id"], p["verdicts"]) for p in one] == [(p["id"], p["verdicts"]) for p in other]
