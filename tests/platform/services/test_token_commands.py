from __future__ import annotations

import re

import pytest

from millsight.platform.cli import main
from millsight.platform.services.database import Database
from millsight.platform.services.tokens import TokenStore


@pytest.fixture
def run(tmp_path, capsys):
    """Run a command beside a service's folder; its status and what it printed."""

    def call(*words: str) -> tuple[int, str]:
        status = main([*words, "--folder", str(tmp_path)])
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return call


def test_a_token_from_creation_to_its_end(run, tmp_path):
    status, shown = run("tokens", "create", "--name", "night shift", "--scopes", "read", "--days=2")
    secret = re.search(r"^ms_\S+$", shown, re.MULTILINE)
    assert status == 0
    assert secret
    store = TokenStore(Database(tmp_path / "service.db"))
    token = store.authenticate(secret[0])
    assert token is not None
    assert (token.name, token.scopes) == ("night shift", {"read"})

    status, shown = run("tokens", "list")
    assert status == 0
    assert token.id in shown
    assert "night shift" in shown
    assert "valid until" in shown
    assert secret[0][-16:] not in shown

    assert run("tokens", "revoke", token.id)[0] == 0
    assert store.authenticate(secret[0]) is None
    assert "revoked" in run("tokens", "list")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create", "--name=x", "--scopes=[write]"], "choose from read, submit, admin"),
        (["create", "--name=x", "--scopes=[]"], "choose from read, submit, admin"),
        (["revoke", "abc"], "There is no token 'abc'"),
    ],
)
def test_refusals(run, words, message):
    status, shown = run("tokens", *words)
    assert status == 2
    assert message in " ".join(shown.split())
