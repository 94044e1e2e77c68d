from __future__ import annotations

import re
import time

import pytest

from millsight.platform.errors import UserError
from millsight.platform.services.app import create_service_app
from millsight.platform.services.config import ServiceConfig
from millsight.platform.services.database import Database
from millsight.platform.services.tokens import TokenStore

PROBLEM = "application/problem+json"


def token(tmp_path, *scopes: str, **options) -> tuple[str, dict[str, str]]:
    """Make a token as the command line would, beside the service; its id and the header."""
    store = TokenStore(Database(tmp_path / "service" / "service.db"))
    made, text = store.create("tester", scopes, **options)
    return made.id, {"Authorization": f"Bearer {text}"}


def is_problem(response, status: int) -> bool:
    body = response.json()
    return (
        response.status_code == status == body["status"]
        and response.headers["content-type"] == PROBLEM
        and body["type"] == "about:blank"
        and bool(body["title"] and body["detail"])
    )


def test_a_job_from_submission_to_result(serve, ended):
    client = serve()
    answer = client.post("/counts", json={"steps": 3})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    job = ended(client, answer.json()["id"])
    assert (job["state"], job["attempts"]) == ("done", 1)
    assert job["result"] == {"counted": 3, "mean": None}, "NaN has no form in JSON"


@pytest.mark.parametrize(
    ("trouble", "attempts", "error"),
    [("user", 1, "--steps is odd"), ("bug", 3, "RuntimeError: the count is wrong")],
)
def test_a_users_error_fails_at_once_and_a_bug_is_tried_three_times(
    serve, ended, trouble, attempts, error
):
    client = serve()
    body = {"steps": 1, "trouble": trouble}
    job = ended(client, client.post("/counts", json=body).json()["id"])
    assert (job["state"], job["attempts"]) == ("failed", attempts)
    assert job["error"].startswith(error)


def test_idempotency_key(serve):
    client = serve()
    headers = {"Idempotency-Key": "nightly-7"}
    first = client.post("/counts", json={"steps": 3}, headers=headers)
    again = client.post("/counts", json={"step_s": 0, "steps": 3}, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert is_problem(client.post("/counts", json={"steps": 4}, headers=headers), 409)
    assert is_problem(
        client.post("/counts", json={"steps": 3}, headers={"Idempotency-Key": "ü".encode()}), 422
    )


def test_cancelling_a_running_job_stops_it(serve, ended):
    client = serve()
    job = client.post("/counts", json={"steps": 1000, "step_s": 0.05}).json()["id"]
    while client.get(f"/jobs/{job}").json()["done"] < 2:
        time.sleep(0.05)
    client.post(f"/jobs/{job}/cancel")
    assert ended(client, job)["state"] == "cancelled"
    assert client.post(f"/jobs/{job}/cancel").json()["state"] == "cancelled"


def test_pages_follow_one_another_while_jobs_come_in(serve):
    client = serve(workers=0)
    ids = [client.post("/counts", json={"steps": n}).json()["id"] for n in range(7)]
    seen, query = [], {"limit": 3}
    while True:
        page = client.get("/jobs", params=query).json()
        seen += [job["id"] for job in page["items"]]
        client.post("/counts", json={"steps": 99})
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "query",
    ["cursor=x", "cursor=WyJhIl0", "cursor=%ff", "cursor=WzFlOTld", "cursor=W3RydWVd", "limit=0",
     "limit=201", "state=odd", "colour=red", f"cursor={'W' * 5000}",
     "cursor=WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwXQ"],
)  # fmt: skip
def test_queries_that_make_no_sense(serve, query):
    assert is_problem(serve().get(f"/jobs?{query}"), 422)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("GET", "/jobs/", None, 404),
        ("GET", f"/jobs/{'0' * 32}", None, 404),
        ("GET", f"/jobs/{'0' * 32}/events", None, 404),
        ("POST", f"/jobs/{'0' * 32}/cancel", None, 404),
        ("GET", "/jobs/..%2f..%2fetc%2fpasswd", None, 404),
        ("GET", "/jobs/abc", None, 422),
        ("DELETE", "/jobs", None, 405),
        ("POST", "/counts", b"{", 422),
        ("POST", "/counts", b'{"steps": -1}', 422),
        ("POST", "/counts", b'{"steps": 1, "colour": "red"}', 422),
        ("POST", "/counts", b'{"steps": 1, "\\ud800": 2}', 422),
        ("POST", "/counts", b"\xff\xfe", 422),
        ("POST", "/counts", b"[" * 100_000, 400),
        ("GET", "/refused", None, 422),
        ("GET", "/bug", None, 500),
    ],
)
def test_every_error_is_a_problem(serve, method, path, body, status):
    headers = {"Content-Type": "application/json"} if body else {}
    answer = serve().request(method, path, content=body, headers=headers)
    assert is_problem(answer, status), answer.text[:300]
    assert "secret inside" not in answer.text
    assert status != 405 or answer.headers["allow"] == "GET"


def test_a_wrong_method_hears_all_the_right_ones(serve):
    assert serve().get("/session").headers["allow"] == "DELETE, POST"


def test_a_validation_problem_points_at_each_fault(serve):
    errors = serve().post("/counts", json={"steps": "x", "step_s": 9}).json()["errors"]
    assert {error["pointer"] for error in errors} == {"body/steps", "body/step_s"}


def test_scopes(serve, tmp_path):
    _, read = token(tmp_path, "read")
    _, submit = token(tmp_path, "submit")
    _, admin = token(tmp_path, "admin")
    client = serve(workers=0)
    assert is_problem(client.get("/jobs"), 401)
    assert client.get("/jobs").headers["www-authenticate"] == "Bearer"
    assert client.get("/jobs", headers=read).status_code == 200
    assert is_problem(client.post("/counts", json={"steps": 1}, headers=read), 403)
    assert is_problem(client.get("/jobs", headers=submit), 403)
    job = client.post("/counts", json={"steps": 1}, headers=submit).json()["id"]
    assert is_problem(client.get("/bug", headers=submit), 403)
    assert is_problem(client.get("/bug", headers=admin), 500)
    _, other = token(tmp_path, "submit")
    assert is_problem(client.post(f"/jobs/{job}/cancel", headers=other), 403)
    assert client.post(f"/jobs/{job}/cancel", headers=admin).json()["state"] == "cancelled"
    assert client.get("/jobs?mine=true", headers=admin).json()["items"] == []


def test_a_revoked_or_expired_or_altered_token_is_out_at_once(serve, tmp_path):
    name, headers = token(tmp_path, "read")
    _, expired = token(tmp_path, "read", days=-1)
    client = serve()
    assert client.get("/jobs", headers=headers).status_code == 200
    assert is_problem(client.get("/jobs", headers=expired), 401)
    altered = headers["Authorization"][:-1] + "~"
    assert is_problem(client.get("/jobs", headers={"Authorization": altered}), 401)
    TokenStore(Database(tmp_path / "service" / "service.db")).revoke(name)
    assert is_problem(client.get("/jobs", headers=headers), 401)


def test_tokens_are_kept_only_as_hashes(tmp_path):
    _, headers = token(tmp_path, "read")
    secret = headers["Authorization"][-16:]
    files = list((tmp_path / "service").iterdir())
    assert files
    assert not any(secret.encode() in path.read_bytes() for path in files)


def test_token_store_refuses(tmp_path):
    store = TokenStore(Database(tmp_path / "service.db"))
    for scopes in ([], ["write"]):
        with pytest.raises(UserError, match="--scopes"):
            store.create("x", scopes)
    with pytest.raises(UserError, match="no token"):
        store.revoke("abc")
    assert store.list() == []


def test_the_cookie_reads_and_changes_nothing(serve, tmp_path):
    _, headers = token(tmp_path, "admin")
    client = serve()
    cookie = client.post("/session", headers=headers).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/jobs").status_code == 200
    assert is_problem(client.post("/counts", json={"steps": 1}), 401)
    client.delete("/session")
    assert is_problem(client.get("/jobs"), 401)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::"])  # noqa: S104
def test_no_token_no_binding_beyond_loopback(tmp_path, host):
    config = ServiceConfig(host=host, folder=tmp_path / "service")
    with pytest.raises(UserError, match="create one first"):
        create_service_app("x", config, routers=[], handlers={})
    token(tmp_path, "read", days=-1)
    with pytest.raises(UserError, match="create one first"):
        create_service_app("x", config, routers=[], handlers={})
    token(tmp_path, "read")
    create_service_app("x", config, routers=[], handlers={})


def test_a_host_that_does_not_resolve(tmp_path):
    config = ServiceConfig(host="no.such.host.invalid", folder=tmp_path)
    with pytest.raises(UserError, match="not an address"):
        create_service_app("x", config, routers=[], handlers={})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 202),
        ({"Host": "[::1]:8000"}, 202),
    ],
)
def test_without_tokens_only_this_machines_own_pages_get_in(serve, headers, status):
    answer = serve().post("/counts", json={"steps": 1}, headers=headers)
    assert answer.status_code == status
    assert status == 202 or is_problem(answer, 403)


def test_health_readiness_and_metrics(serve, tmp_path, ended):
    _, headers = token(tmp_path, "admin")
    client = serve()
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert is_problem(client.get("/metrics"), 401)
    client.headers |= headers
    ended(client, client.post("/counts", json={"steps": 1}).json()["id"])
    for n in range(20):
        client.get(f"/nothing/{n}")
    text = client.get("/metrics").text
    assert 'millsight_jobs{state="done"} 1.0' in text
    assert re.search(r'requests_total{method="POST",route="/counts",status="202"} 1.0', text)
    assert re.search(r'requests_total{method="GET",route="unmatched",status="404"} 20.0', text)
    assert re.search(r'requests_total{method="GET",route="/jobs/{job}",status="200"}', text)


def test_not_ready_without_its_worker(serve):
    client = serve()
    client.app.state.service.worker.stop()
    answer = client.get("/readyz")
    assert is_problem(answer, 503)
    assert "worker" in answer.json()["detail"]


def test_the_schema_names_problems_and_tokens(serve):
    schema = serve().get("/openapi.json").json()
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert PROBLEM in operation["responses"]["default"]["content"]
            assert "422" not in operation["responses"]
            is_open = path in {"/healthz", "/readyz"} or operation["summary"] == "Close Session"
            assert is_open or operation["security"] == [{"HTTPBearer": []}], path
    names = set(re.findall(r"#/components/schemas/(\w+)", str(schema)))
    assert names <= set(schema["components"]["schemas"])
    assert "HTTPValidationError" not in schema["components"]["schemas"]
