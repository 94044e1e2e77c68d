from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

from evaluation_sets import full_zip, make_dataset, onnx_model, samples_of, scores_csv, zip_of

from millsight.evaluation.service.config import DatasetConfig, ServeEvaluationConfig

Headers = dict[str, str]
ZIP = {"Content-Type": "application/zip"}


@dataclass
class Filled:
    """A running service with tokens, three datasets and judged runs."""

    client: TestClient
    folder: Path
    configs: dict[str, DatasetConfig]
    admin: Headers
    reader: Headers
    submitter: Headers
    runs: dict[str, str]


def wait(client: TestClient, job: str, headers: Headers) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while True:
        found: dict[str, Any] = client.get(f"/jobs/{job}", headers=headers).json()
        if found["state"] not in {"queued", "running"}:
            return found
        assert time.monotonic() < deadline, f"waited in vain: {found}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def ended() -> Callable[[TestClient, str, Headers], dict[str, Any]]:
    """Wait for a job's end."""
    return wait


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """One service for all tests that only read; ``twin`` is ``hidden`` with other truth."""
    from millsight.evaluation.service.app import create_evaluation_app
    from millsight.platform.services.database import Database
    from millsight.platform.services.tokens import TokenStore

    folder = tmp_path_factory.mktemp("evaluation")
    configs = {
        "open": make_dataset(folder / "data", "open"),
        "hidden": make_dataset(folder / "data", "hidden", labels="hidden"),
        "twin": make_dataset(folder / "data", "twin", labels="hidden", turn=1),
    }
    store = TokenStore(Database(folder / "service" / "service.db"))
    heads = [
        {"Authorization": f"Bearer {store.create(name, scopes)[1]}"}
        for name, scopes in (
            ("boss", ["admin"]),
            ("looker", ["read"]),
            ("model team", ["read", "submit"]),
        )
    ]
    config = ServeEvaluationConfig(
        folder=folder / "service",
        datasets=list(configs.values()),
        resamples=40,
        workers=2,
        requests_per_second=1e6,
        request_burst=10**6,
    )
    with TestClient(create_evaluation_app(config), raise_server_exceptions=False) as client:
        made = Filled(client, config.folder, configs, *heads, {})
        _submit_all(made)
        yield made


def _submit_all(made: Filled) -> None:
    opened, hidden = made.configs["open"], made.configs["hidden"]
    lines = [(sample.id, 0.25) for sample in samples_of(opened)]
    bodies = {
        ("open", "right"): (full_zip(opened), ZIP),
        ("open", "wrong"): (full_zip(opened, [0, 1, 2, 3]), ZIP),
        ("open", "model"): (zip_of({"model.onnx": onnx_model()}), ZIP),
        ("open", "scores"): (scores_csv(lines), {"Content-Type": "text/csv; charset=utf-8"}),
        ("open", "boxes"): (b"[]", {"Content-Type": "application/json"}),
        ("hidden", "first"): (full_zip(hidden, [2]), ZIP),
        ("hidden", "second"): (full_zip(hidden, [3, 4]), ZIP),
        ("twin", "first"): (full_zip(hidden, [2]), ZIP),
        ("twin", "second"): (full_zip(hidden, [3, 4]), ZIP),
    }
    jobs = {}
    for (dataset, name), (body, kind) in bodies.items():
        cut = {"threshold": 0.5} if name in {"scores", "boxes"} else {}
        answer = made.client.post(
            f"/datasets/{dataset}/runs",
            params={"name": name, **cut},
            content=body,
            headers={**made.submitter, **kind},
        )
        assert answer.status_code == 202, answer.text
        jobs[f"{dataset}/{name}"] = answer.json()["id"]
    for key, job in jobs.items():
        found = wait(made.client, job, made.reader)
        assert found["state"] == "done", (key, found)
        made.runs[key] = found["result"]["run"]


@pytest.fixture
def judge_here(filled: Filled, tmp_path: Path) -> Callable[..., None]:
    """Judge a submission in this process."""
    from millsight.evaluation.service.judging import judge
    from millsight.evaluation.service.submission import Decide, Submission

    def run(content: bytes, kind: str = "zip", dataset: str = "open", **changes: Any) -> None:
        judged = filled.client.app.state.evaluation.datasets[dataset]  # type: ignore[attr-defined]
        upload, work = tmp_path / "upload", tmp_path / secrets.token_hex(4)
        upload.write_bytes(content)
        work.mkdir()
        values = {"threshold": None, "decide": Decide.AUTO, "max_unpacked_bytes": 1 << 24}
        submission = Submission(
            upload=str(upload),
            kind=kind,
            table=str(judged.table),
            by_id=not judged.is_open,
            run="r",
            resamples=10,
            **{**values, **changes},
        )
        judge(submission, work, lambda *_: None)

    return run
