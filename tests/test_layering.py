"""Rooms import downwards only; few corners of the floor, and the Serve file, know ray or wandb."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {
    "platform": {"platform"},
    "evaluation": {"evaluation", "platform"},
    "pretraining": {"pretraining", "evaluation", "platform"},
    "generators": {"generators", "evaluation", "platform"},
}
CLUSTER = {"ray", "wandb"}
MAY_USE_CLUSTER = {
    ("platform", name) for name in ("executors", "tracking", "jobs.py", "doctor.py", "checks.py")
}
SERVE_FILES = {"platform/services/ray_serve.py", "generators/service/ray_replicas.py"}


def modules() -> list[Path]:
    return [path for room in BELOW for path in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_search_sees_imports_inside_functions(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("from millsight import platform\ndef f():\n    import ray.data as data\n")
    assert {"millsight.platform", "ray.data"} <= set(imported(file))
    assert len(modules()) > 80


def test_rooms_import_only_downwards():
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules()
        for name in imported(path)
        if name.startswith("millsight.")
        and name.split(".")[1] not in BELOW[path.relative_to(ROOT).parts[0]]
    ]
    assert wrong == []


def test_only_executors_tracking_jobs_and_doctor_know_ray_and_wandb():
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules()
        for name in imported(path)
        if name.partition(".")[0] in CLUSTER
        and path.relative_to(ROOT).parts[:2] not in MAY_USE_CLUSTER
        and str(path.relative_to(ROOT)) not in SERVE_FILES
    ]
    assert wrong == []


@pytest.mark.parametrize("room", BELOW)
def test_a_room_is_a_namespace_package(room):
    assert not (ROOT / room / "__init__.py").exists()
