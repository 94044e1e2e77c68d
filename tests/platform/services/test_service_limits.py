from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from millsight.platform.services.limits import BodyLimit, RateLimit
from millsight.platform.services.problems import ProblemError

MIB = 1 << 20


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"x" * 65_536


@pytest.mark.parametrize("content", [b"x" * (MIB + 1), chunks(17)], ids=["declared", "chunked"])
def test_a_body_that_is_too_long(serve, content):
    answer = serve().post("/echo", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == answer.json()["status"] == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_chunked_body_within_the_limit(serve):
    def body() -> Iterator[bytes]:
        yield b'{"a": '
        yield b"1}"

    answer = serve().post("/echo", content=body(), headers={"Content-Type": "application/json"})
    assert answer.json() == {"a": 1}


def test_reading_stops_at_the_limit(serve):
    """Of a gigabyte in chunks, hardly more than the limit is taken in."""
    taken = 0
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 65_536
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": taken < 1 << 30}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "method": "POST", "path": "/echo", "raw_path": b"/echo", "root_path": "",
        "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "scheme": "http",
        "server": ("localhost", 80), "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(serve().app(scope, receive, send))
    assert [m["status"] for m in sent if m["type"] == "http.response.start"] == [413]
    assert taken <= MIB + 2 * 65_536


def test_uploads_have_their_own_limit(serve, tmp_path):
    client = serve(max_upload_mib=3)
    assert client.put("/archives", content=chunks(49)).status_code == 413
    assert client.put("/archives", content=b"x" * (2 * MIB)).status_code == 422
    assert client.put("/archives", content=b"").status_code == 422
    names = [path.name for path in (tmp_path / "service" / "uploads").iterdir()]
    assert len(names) == 1, "a body that broke off leaves nothing"


def test_a_whole_upload(serve):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/scores.csv", "id,score\n")
    answer = serve().put("/archives", content=packed.getvalue())
    assert answer.json() == {"files": 1, "bytes": len(packed.getvalue())}


def test_a_body_that_stalls():
    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(BodyLimit(reads, 10, {}, stall_s=0.05)(scope, never, send))
    assert sent[0]["status"] == 408


def test_too_many_requests_at_once(serve):
    app = serve(max_active_requests=4).app

    async def storm() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            slow = [client.get("/slow") for _ in range(20)]
            health = [client.get("/healthz") for _ in range(3)]
            answers = await asyncio.gather(*slow, *health)
            return [*answers, await client.get("/slow")]

    answers = asyncio.run(storm())
    assert [a.status_code for a in answers[:20]].count(200) == 4
    refused = [a for a in answers[:20] if a.status_code == 429]
    assert len(refused) == 16
    assert all(a.headers["retry-after"] == "1" for a in refused)
    assert {a.status_code for a in answers[20:]} == {200}, "health answers, and slots come back"


def test_each_token_has_its_own_rate(serve):
    client = serve(requests_per_second=0.5, request_burst=5)
    answers = [client.get("/jobs") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert answers[-1].headers["retry-after"] == "2"


def test_rate_limit_by_the_clock():
    now = [0.0]
    rates = RateLimit(2, 4, clock=lambda: now[0])
    rates.spend("a", 4)
    rates.spend("b")
    with pytest.raises(ProblemError) as refused:
        rates.spend("a", 3)
    assert refused.value.headers["Retry-After"] == "2"
    now[0] = 1.5
    rates.spend("a", 3)
    now[0] = 1000
    with pytest.raises(ProblemError):
        rates.spend("a", 4.5)


def test_too_much_waiting_work(serve):
    client = serve(workers=0, max_cost_per_token=100)
    assert client.post("/counts", json={"steps": 60}).status_code == 202
    answer = client.post("/counts", json={"steps": 60})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert client.post("/counts", json={"steps": 101}).status_code == 422


async def parts(*data: bytes) -> AsyncIterator[bytes]:
    for part in data:
        yield part


def test_an_upload_is_named_by_its_content(tmp_path: Path):
    from millsight.platform.services.uploads import save_body

    one = asyncio.run(save_body(parts(b"ab", b"c"), tmp_path))
    two = asyncio.run(save_body(parts(b"abc"), tmp_path))
    assert one == two
    assert one.sha256.startswith("ba7816bf")
    assert [path.name for path in tmp_path.iterdir()] == [one.sha256]
