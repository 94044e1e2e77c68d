from __future__ import annotations

import json
from pathlib import Path

import pytest

from millsight.generators.procedural.commands import GenerateConfig, generate
from millsight.platform import cli
from millsight.platform.catalog.catalog import load_data
from millsight.platform.errors import RefusedError


def contents(path: str) -> dict[str, bytes]:
    root = Path(path)
    files = (file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def test_a_set_is_an_artifact_that_the_catalog_reads(tmp_path, capsys):
    config = GenerateConfig(workspace=str(tmp_path), count=16, size=64, seed=3)
    outcome = generate(config)
    assert outcome.exit_code == 0
    metrics = outcome.artifact.manifest["metrics"]
    assert metrics["pictures"] == sum(metrics["labels"].values()) == 16
    catalog = load_data(outcome.artifact.path)
    assert catalog.layout == "mvtec"
    assert len(catalog) == 16
    assert {sample.label for sample in catalog} == set(metrics["labels"])
    lines = (tmp_path / Path(outcome.artifact.path).name / "captions.jsonl").read_text()
    assert len([json.loads(line) for line in lines.splitlines()]) == 16
    assert outcome.artifact.path in capsys.readouterr().out.replace("\n", "")


def test_the_same_settings_give_the_same_bytes_and_are_not_drawn_twice(tmp_path, capsys):
    config = GenerateConfig(workspace=str(tmp_path / "a"), count=4, size=64)
    first = generate(config).artifact
    capsys.readouterr()
    assert generate(config).artifact == first
    assert "Rendered already" in capsys.readouterr().out
    other = GenerateConfig(output=str(tmp_path / "b"), count=4, size=64)
    assert contents(generate(other).artifact.path) == contents(first.path)
    with pytest.raises(RefusedError, match=r"differ in config\.seed"):
        generate(GenerateConfig(output=str(tmp_path / "b"), count=4, size=64, seed=1))


@pytest.mark.parametrize(("flag", "value"), [("count", "0"), ("size", "20"), ("good_share", "1.5")])
def test_what_cannot_be_drawn_is_refused_and_leaves_nothing(tmp_path, capsys, flag, value):
    words = ["generate", "procedural", f"--{flag}", value, "--workspace", str(tmp_path / "runs")]
    assert cli.main(words) == 2
    assert flag in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_dir() and path.name != "runs"]
