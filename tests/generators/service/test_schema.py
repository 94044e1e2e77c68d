"""What the service says of itself."""

from __future__ import annotations

from dataclasses import replace

from schema_probe import probe_schema

from millsight.generators.service import openapi
from millsight.generators.service.app import create_generation_app


def test_the_schema_is_checked_in():
    assert openapi.FILE.read_text(encoding="utf-8") == openapi.openapi_text()


def test_the_schema_holds_for_whatever_is_sent(served, tmp_path):
    config = replace(served.config, folder=tmp_path / "service", bases=[], adapters=[], workers=0)
    assert probe_schema(create_generation_app(config)) > 20
