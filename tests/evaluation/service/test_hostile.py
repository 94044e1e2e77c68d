"""What strangers send does no harm: 4xx or a failed job with one sentence, and nothing left."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest
from evaluation_sets import make_dataset
from hostile import Attack, attacks, odd_requests
from schema_probe import probe_schema
from service_process import ServiceProcess

from millsight.evaluation.service.judging import judge
from millsight.evaluation.service.submission import Decide, Submission
from millsight.platform.errors import UserError
from millsight.platform.services.problems import ProblemError

MIB = 1 << 20
JUDGED = {"application/zip": "zip", "application/json": "json", "text/csv": "csv"}


def files_under(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def raw(headers: dict[str, str]) -> dict[str, bytes]:
    return {name: value.encode("latin-1") for name, value in headers.items()}


def test_every_hostile_submission_is_refused_with_a_sentence(filled, tmp_path):
    """In this process, where whatever is not an expected refusal shows as such."""
    dataset = filled.client.app.state.evaluation.datasets["open"]
    for number, attack in enumerate(attacks(filled.configs["open"])):
        if attack.media not in JUDGED or not attack.body or attack.name in SLOW:
            continue
        message = _judged(dataset, attack, tmp_path / "box" / str(number))
        assert attack.harmless or message, attack.name
        assert message is None or len(message) < 1000, attack.name
        assert message is None or str(tmp_path) not in message, message
    outside = [path for path in tmp_path.iterdir() if path.name != "box"]
    assert outside == []


# Large: the run against a real process has them.
SLOW = {"many files", "json of brackets", "a million columns", "many classes", "bomb"}


def _judged(dataset, attack: Attack, folder: Path) -> str | None:
    folder.mkdir(parents=True)
    (folder / "upload").write_bytes(attack.body)
    (folder / "work").mkdir()
    submission = Submission(
        upload=str(folder / "upload"),
        kind=JUDGED[attack.media],
        table=str(dataset.table),
        by_id=False,
        run="r",
        threshold=None,
        decide=Decide.AUTO,
        resamples=5,
        max_unpacked_bytes=64 * MIB,
    )
    try:
        judge(submission, folder / "work", lambda *_: None)
    except (UserError, ProblemError) as error:
        return str(error)
    return None


def test_odd_requests_are_refused(filled):
    before = files_under(filled.folder)
    seen = set()
    for method, path, headers, body in odd_requests(150, seed=3):
        merged = {**filled.reader, **raw(headers)}
        answer = filled.client.request(method, path, headers=merged, content=body)
        seen.add(answer.status_code)
        assert answer.status_code < 500, (method, path, answer.text)
    assert {404, 405, 422} <= seen
    assert files_under(filled.folder) == before


def test_the_schema_holds_for_whatever_is_sent(tmp_path):
    """schemathesis makes requests of the schema; no 5xx, and every answer as it is described."""
    from millsight.evaluation.service.app import create_evaluation_app
    from millsight.evaluation.service.config import ServeEvaluationConfig

    config = ServeEvaluationConfig(
        folder=tmp_path / "service", datasets=[make_dataset(tmp_path, "plates", n=3)], workers=0
    )
    assert probe_schema(create_evaluation_app(config)) > 15


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_hostile_requests_to_a_real_service(tmp_path: Path) -> None:
    """Prints what came of them; see docs/evaluation-service.md for the figures."""
    config = make_dataset(tmp_path / "data", "plates")
    service = ServiceProcess(
        "evaluation",
        tmp_path / "service",
        datasets=[asdict(config)],
        resamples=10,
        workers=2,
        job_memory_gib=4.0,
        max_unpacked_mib=256.0,
        max_upload_mib=64.0,
        max_queued_per_token=1000,
        requests_per_second=1e6,
        request_burst=10**6,
    )
    outside = files_under(tmp_path)
    service.start()
    try:
        _attack(service, config, tmp_path)
    finally:
        service.kill()
    mine = {str(service.folder), str(service.log), str(service.folder.with_suffix(".yaml"))}
    left = {
        path
        for path in files_under(tmp_path) - outside
        if not path.startswith(str(service.folder) + "/")
    }
    assert left <= mine, left - mine


def _attack(service: ServiceProcess, config, tmp_path: Path) -> None:
    began, start_memory, statuses, jobs = time.monotonic(), service.memory(), [], {}
    for attack in attacks(config):
        answer = service.client.post(
            "/datasets/plates/runs?name=attack",
            content=attack.body,
            headers={"Content-Type": attack.media},
        )
        statuses.append(answer.status_code)
        if answer.status_code == 202:
            jobs[answer.json()["id"]] = attack
    largest = _too_long(service)
    statuses += largest
    for method, path, headers, body in odd_requests(1000 - len(statuses), seed=11):
        answer = service.client.request(method, path, headers=raw(headers), content=body)
        statuses.append(answer.status_code)
    ended = {job: service.wait(job, 900) for job in jobs}
    _check(ended, jobs, statuses)
    assert service.client.get("/readyz").json() == {"status": "ready"}
    memory = service.memory()
    kinds = {status: statuses.count(status) for status in sorted(set(statuses))}
    failed = sum(job["state"] == "failed" for job in ended.values())
    print(
        f"\n{len(statuses)} requests in {time.monotonic() - began:.0f} s: {kinds}; "
        f"{len(jobs)} jobs, {failed} failed; memory {start_memory / MIB:.0f} -> "
        f"{memory / MIB:.0f} MiB at most"
    )
    assert memory < start_memory + 200 * MIB
    assert list((service.folder / "uploads").iterdir()) == []
    assert list((service.folder / "work").iterdir()) == []
    assert "Traceback" not in service.log.read_text()


def _check(ended, jobs, statuses) -> None:
    assert not [status for status in statuses if status >= 500]
    for job, attack in jobs.items():
        found = ended[job]
        assert found["state"] == "failed" or attack.harmless, (attack.name, found)
        assert found["attempts"] == 1, (attack.name, found)
        assert found["error"] is None or 10 < len(found["error"]) < 1000, found["error"]


def _too_long(service: ServiceProcess) -> list[int]:
    """A body beyond the limit, declared and not; a length that is none."""
    part = b"\0" * MIB

    def endless():
        for _ in range(70):
            yield part

    url, kind = "/datasets/plates/runs?name=x", {"Content-Type": "application/zip"}
    found = []
    for content, headers in ((part * 65, {}), (endless(), {}), (b"x", {"Content-Length": "abc"})):
        try:
            answer = service.client.post(url, content=content, headers={**kind, **headers})
            found.append(answer.status_code)
        except httpx.TransportError:
            # The service closed the connection after its answer, while the body was on its way.
            found.append(413)
    return found
