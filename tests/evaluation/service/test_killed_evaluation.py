"""The service killed with -9 while a model runs, and started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from evaluation_sets import full_zip, make_dataset, onnx_model, zip_of
from service_process import ServiceProcess

ZIP = {"Content-Type": "application/zip"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    dataset = make_dataset(tmp_path / "data", "plates", n=12)
    settings = {"datasets": [asdict(dataset)], "lease_s": 1.5, "resamples": 20}
    made = ServiceProcess("evaluation", tmp_path / "service", **settings)
    yield made
    made.kill()


def submit(service: ServiceProcess, name: str, body: bytes) -> str:
    answer = service.client.post(
        f"/datasets/plates/runs?name={name}",
        content=body,
        headers={**ZIP, "Idempotency-Key": f"key-{name}"},
    )
    assert answer.status_code in {200, 202}, answer.text
    return str(answer.json()["id"])


@pytest.mark.slow
def test_nothing_is_lost_or_doubled(service: ServiceProcess, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data", "plates", n=12)
    bodies = {
        "model": zip_of({"model.onnx": onnx_model(512, 512)}),
        "masks": full_zip(dataset, [1]),
        "more": full_zip(dataset, [2]),
    }
    service.start()
    jobs = {"masks": submit(service, "masks", bodies["masks"])}
    service.wait(jobs["masks"])
    before = service.client.get(f"/runs/{jobs['masks']}").json()
    jobs |= {name: submit(service, name, bodies[name]) for name in ("model", "more")}
    deadline = time.monotonic() + 60
    while service.client.get(f"/jobs/{jobs['model']}").json()["done"] < 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert service.children()
    service.kill()
    time.sleep(0.5)
    assert not service.children(), "the judging process went with its service"

    service.start()
    assert service.client.get(f"/runs/{jobs['masks']}").json() == before
    assert {name: submit(service, name, body) for name, body in bodies.items()} == jobs
    for name, job in jobs.items():
        found = service.wait(job)
        assert (found["state"], found["result"]) == ("done", {"run": job}), found
        assert found["attempts"] == {"model": 2}.get(name, 1)
    runs = service.client.get("/runs").json()["items"]
    folders = [path.name for path in (service.folder / "runs").iterdir()]
    assert sorted(run["id"] for run in runs) == sorted(folders) == sorted(jobs.values())
    assert list((service.folder / "uploads").iterdir()) == []
    assert list((service.folder / "work").iterdir()) == []


def test_what_a_kill_left_is_swept(service: ServiceProcess) -> None:
    """A run's folder without its row, work of a dead process, and half an upload."""
    left = [
        service.folder / "runs" / ("a" * 32) / "results.parquet",
        service.folder / "work" / "b" / "files",
        service.folder / "uploads" / ".c" / ".d.part",
        service.folder / "uploads" / ("e" * 64),
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    service.start()
    assert not any(path.exists() for path in left)
