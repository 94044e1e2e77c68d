"""The service behind Ray Serve: the same answers, one replica, its own worker."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

import httpx
import pytest
from evaluation_sets import make_dataset, samples_of, scores_csv

from millsight.evaluation.service.config import ServeEvaluationConfig


@pytest.mark.slow
def test_a_job_behind_ray_serve(ray_session: None, tmp_path: Path) -> None:
    from ray import serve

    from millsight.evaluation.service.app import NAME, create_evaluation_app
    from millsight.platform.services import ray_serve

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    dataset = make_dataset(tmp_path / "data", "plates")
    config = ServeEvaluationConfig(
        port=port, folder=tmp_path / "service", datasets=[dataset], resamples=10
    )
    make = partial(ray_serve.application, NAME, create_evaluation_app, config)
    ray_serve.start(NAME, make, config)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _check(client, scores_csv([(sample.id, 0.7) for sample in samples_of(dataset)]))
    finally:
        serve.delete(NAME)
        serve.shutdown()


def _check(client: httpx.Client, body: str) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/").status_code == 200
    answer = client.post(
        "/datasets/plates/runs?name=x", content=body, headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    with client.stream("GET", f"/jobs/{job}/events") as stream:
        events = [line for line in stream.iter_lines() if line.startswith("event: ")]
    assert events[-1] == "event: done"
    run = client.get(f"/runs/{job}").json()
    assert run["headline"]["image_auroc"]["value"] == 0.5
    foreign = client.get("/datasets", headers={"Host": "evil.example"})
    assert foreign.status_code == 403
