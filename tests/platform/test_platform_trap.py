from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("platform", "evaluation", "pretraining", "generators")
CHECK = "import platform, millsight.platform.stages; platform.system(); print(platform.__file__)"
IN_WORKER = """
import logging, ray
ray.init(address="local", num_cpus=1, object_store_memory=80e6, include_dashboard=False,
         log_to_driver=False, logging_level=logging.ERROR,
         runtime_env={"working_dir": ".", "excludes": [".git", "docs"]})

@ray.remote
def look():
    import os, platform, sys, millsight.platform.stages
    platform.system()
    here = os.path.isdir("platform") and any(os.path.samefile(p or ".", ".") for p in sys.path
                                             if os.path.isdir(p or "."))
    return here, platform.__file__

here, path = ray.get(look.remote())
assert here, "the working directory with our platform/ folder is on the worker's sys.path"
print(path)
"""


def run_at_root(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_have_no_init_at_their_top(room: str) -> None:
    assert (ROOT / room).is_dir()
    assert not (ROOT / room / "__init__.py").exists()


def test_root_on_the_path_still_finds_the_standard_library() -> None:
    assert Path(run_at_root(CHECK)).name == "platform.py"


@pytest.mark.slow
def test_worker_with_working_dir_at_the_root_finds_the_standard_library() -> None:
    assert Path(run_at_root(IN_WORKER)).name == "platform.py"
