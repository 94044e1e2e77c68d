from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import shutil
import subprocess
import sys
import tomllib
import typing
import zipfile
from pathlib import Path

import pytest

from millsight.platform.commands import Outcome

ROOT = Path(__file__).parents[2]
ROOMS = ("platform", "evaluation", "pretraining", "generators", "recipes")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMMANDS = PROJECT["project"]["entry-points"]["millsight.commands"]
DATA = {".yaml", ".json", ".j2", ".safetensors", ".html", ".js", ".css", ".svg"}


def tree() -> set[str]:
    """Files that an installed millsight needs, by their place in the wheel."""
    files = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file())
    wanted = (path for path in files if path.suffix in DATA | {".py"} or path.name == "py.typed")
    return {f"millsight/{path.relative_to(ROOT).as_posix()}" for path in wanted}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """Names in a wheel built from a copy of the tree, so that nothing old is packed."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in (*ROOMS, "pyproject.toml", "setup.py", "README.md"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    done = subprocess.run(
        [*command, "--wheel-dir", "dist", "."], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    (built,) = (folder / "dist").glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


def test_the_wheel_holds_the_whole_tree_and_nothing_else(wheel):
    packed = {name for name in wheel if name.startswith("millsight/")}
    assert tree() - packed == set()
    others = {name for name in packed - tree() if not name.endswith(".md")}
    assert others == set()
    assert {name.split("/")[0] for name in wheel - packed} == {
        f"millsight-{PROJECT['project']['version']}.dist-info"
    }


def test_the_wheel_holds_data_of_every_kind(wheel):
    assert "millsight/platform/py.typed" in wheel
    assert "millsight/recipes/quickstart.yaml" in wheel
    assert "millsight/evaluation/reports/report.html.j2" in wheel
    assert any(name.startswith("millsight/pretraining/kead/prompts/") for name in wheel)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_resolves_to_a_function_of_a_config(name):
    module, _, attribute = COMMANDS[name].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert list(inspect.signature(command).parameters) == ["config"]
    hints = typing.get_type_hints(command)
    assert dataclasses.is_dataclass(hints["config"])
    assert hints["return"] is Outcome
    summary = inspect.getdoc(command).partition("\n")[0]
    assert summary.endswith(".")
    described = inspect.getdoc(hints["config"]) or ""
    for field in dataclasses.fields(hints["config"]):
        inherited = "".join(inspect.getdoc(base) or "" for base in hints["config"].__mro__[:-1])
        assert f"{field.name}: " in described + inherited, field.name


def test_importing_the_commands_loads_no_heavy_library():
    modules = sorted({target.partition(":")[0] for target in COMMANDS.values()})
    heavy = ("torch", "ray", "open_clip", "timm", "pandas", "sklearn")
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ast.literal_eval(done.stdout) == []
