from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("platform", "evaluation", "pretraining", "generators")
CHECK = "import platform, millsight.platform.stages; platform.system(); print(platform.__file__)"
IN_WORKER = """
import logging, os, sys, ray
others = [name for name in os.listdir() if name != "platform"]
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR,
         runtime_env={"working_dir": ".", "excludes": others})

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


def run_at_root(code: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_have_no_init_at_their_top(room: str) -> None:
    assert (ROOT / room).is_dir()
    assert not (ROOT / room / "__init__.py").exists()


def test_root_on_the_path_still_finds_the_standard_library() -> None:
    assert Path(run_at_root(CHECK)).name == "platform.py"


@pytest.mark.usefixtures("ray_session")
def test_worker_with_working_dir_at_the_root_finds_the_standard_library() -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    assert Path(run_at_root(IN_WORKER, address)).name == "platform.py"
