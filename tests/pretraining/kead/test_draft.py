from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from millsight.platform.errors import UserError
from millsight.pretraining.kead.commands import DraftConfig, draft
from millsight.pretraining.kead.prompt_sets import read_prompts

GOOD_ANSWER = {
    "object": "brass ring",
    "good": ["{} with an even shine"],
    "defects": {"dent": "a shallow hollow with a bright rim", "stain": "a dull dark blotch"},
}


class Server(ThreadingHTTPServer):
    """Speaks as much of the chat-completions protocol as one answer needs."""

    answer: str
    status: int = 200
    requests: list[dict[str, Any]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        self.server.requests.append(
            {"path": self.path, "key": self.headers["Authorization"]} | request
        )
        message = {"role": "assistant", "content": self.server.answer}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
        data = json.dumps(reply | {"choices": [choice]}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.answer, server.requests = json.dumps(GOOD_ANSWER), []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def config(server: Server, tmp_path: Path) -> DraftConfig:
    pixels = np.random.default_rng(0).integers(0, 256, (900, 1600, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "ring.png")
    return DraftConfig(
        picture=str(tmp_path / "ring.png"),
        category="Brass Ring",
        model="looker-1",
        output=str(tmp_path / "out" / "brass.yaml"),
        base_url=f"http://127.0.0.1:{server.server_address[1]}/v1",
        api_key="secret",
    )


def test_a_draft_is_a_prompt_file_that_asks_for_a_person(
    server: Server, config: DraftConfig
) -> None:
    assert draft(config).exit_code == 0
    assert config.output is not None
    prompts = read_prompts(config.output)
    assert prompts.category == "brass_ring"
    assert prompts.defects == GOOD_ANSWER["defects"]
    text = Path(config.output).read_text()
    assert text.startswith("# A draft by looker-1 from one picture: ring.png\n# A person must edit")
    assert "secret" not in text


def test_one_small_picture_is_sent_as_data(server: Server, config: DraftConfig) -> None:
    draft(config)
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["key"] == "Bearer secret"
    assert request["model"] == "looker-1"
    text, picture = request["messages"][0]["content"]
    assert "Brass Ring" in text["text"]
    head, data = picture["image_url"]["url"].split(",")
    assert head == "data:image/jpeg;base64"
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (432, 768, 3)


def test_a_fenced_answer_is_understood(server: Server, config: DraftConfig) -> None:
    server.answer = f"```json\n{json.dumps(GOOD_ANSWER)}\n```"
    draft(config)
    assert config.output is not None
    assert read_prompts(config.output).object == "brass ring"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("I am sorry, I cannot see pictures.", "did not answer with a JSON object"),
        ("[1, 2]", "did not answer with a JSON object"),
        ("", "did not answer with a JSON object"),
        (json.dumps({"object": "ring"}), "defects: Field required"),
        (json.dumps(GOOD_ANSWER | {"good": ["no place"]}), "needs one {}"),
        (json.dumps(GOOD_ANSWER | {"mood": "x"}), "mood: no such key"),
    ],
)
def test_a_bad_answer_leaves_nothing_behind(
    server: Server, config: DraftConfig, answer: str, message: str
) -> None:
    server.answer = answer
    with pytest.raises(UserError, match=message):
        draft(config)
    assert config.output is not None
    assert not Path(config.output).parent.exists()


def test_nothing_is_overwritten_or_even_asked_for(server: Server, config: DraftConfig) -> None:
    draft(config)
    with pytest.raises(UserError, match="not overwritten"):
        draft(config)
    assert len(server.requests) == 1


def test_a_refusing_endpoint_is_named(server: Server, config: DraftConfig) -> None:
    server.status = 401
    with pytest.raises(UserError, match=r"--base_url http://127\.0\.0\.1.*OPENAI_API_KEY"):
        draft(config)


def test_a_broken_picture_is_not_sent(server: Server, config: DraftConfig) -> None:
    Path(config.picture).write_bytes(b"")
    with pytest.raises(UserError, match="--picture"):
        draft(config)
    assert server.requests == []
