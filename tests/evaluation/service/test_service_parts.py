"""Parts of the service on their own: settings, datasets, uploads, limits of the process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluation_sets import full_zip, make_dataset

from millsight.evaluation.service import openapi
from millsight.evaluation.service.config import DatasetConfig, ServeEvaluationConfig
from millsight.evaluation.service.datasets import open_datasets
from millsight.evaluation.service.resizing import resize
from millsight.evaluation.service.runs import SCHEMA
from millsight.evaluation.service.uploads import UploadStore
from millsight.evaluation.service.worker import THREADS
from millsight.platform import config as configs
from millsight.platform.errors import UserError
from millsight.platform.services.database import Database
from millsight.platform.services.jobs import JobStore

GIB = 1 << 30


def test_the_checked_in_schema_is_current():
    hint = "renew it: python -m millsight.evaluation.service.openapi"
    assert openapi.FILE.read_text(encoding="utf-8") == openapi.openapi_text(), hint


def test_settings_from_yaml_and_flags(tmp_path):
    file = tmp_path / "service.yaml"
    file.write_text("port: 9000\ndatasets:\n- {name: a, data: folder, labels: open}\n")
    parser = configs.build_parser(ServeEvaluationConfig, prog="x", description="")
    found = configs.parse(parser, ServeEvaluationConfig, ["--config", str(file), "--workers=2"])
    assert (found.port, found.workers) == (9000, 2)
    assert found.datasets == [DatasetConfig(name="a", data="folder", labels="open")]
    words = ["--datasets", "{name: a, data: x}", "--datasets", "{name: b, data: y, split: test}"]
    found = configs.parse(parser, ServeEvaluationConfig, words)
    assert [dataset.name for dataset in found.datasets] == ["a", "b"]
    assert {dataset.labels for dataset in found.datasets} == {"hidden"}


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", "x" * 65, "-a"])
def test_dataset_names_fit_an_address(tmp_path, name):
    with pytest.raises(UserError, match="lower-case letters"):
        open_datasets([DatasetConfig(name=name, data="x")], tmp_path, all_open=False)


def test_datasets_that_do_not_open(tmp_path):
    made = make_dataset(tmp_path, "plates", n=3)
    with pytest.raises(UserError, match="two are called"):
        open_datasets([made, made], tmp_path / "t", all_open=False)
    made.split = "val"
    with pytest.raises(UserError, match="no split 'val'"):
        open_datasets([made], tmp_path / "t", all_open=False)


def test_other_truth_is_another_dataset_and_equal_files_are_one_picture(tmp_path):
    folders = tmp_path / "t"
    for turn in (0, 1):
        (tmp_path / str(turn)).mkdir()
    made = [make_dataset(tmp_path / str(turn), "plates", n=4, turn=turn) for turn in (0, 1)]
    opened = [open_datasets([one], folders, all_open=False)["plates"] for one in made]
    assert opened[0].fingerprint != opened[1].fingerprint
    assert opened[0].table != opened[1].table
    folder = tmp_path / "twice"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.png").write_bytes(Path(opened[0].rows[0].uri).read_bytes())
    doubled = DatasetConfig(name="twice", data=str(folder), labels="open")
    assert len(open_datasets([doubled], folders, all_open=False)["twice"].rows) == 1


async def _parts(content: bytes):
    yield content


def test_an_upload_is_kept_while_a_job_needs_it(tmp_path):
    database = Database(tmp_path / "service.db", SCHEMA)
    jobs, uploads = JobStore(database), UploadStore(tmp_path / "uploads", database)

    def send(content: bytes, key: str):
        saved = asyncio.run(uploads.receive(_parts(content)))
        request = {"sha256": saved.sha256}
        return saved, uploads.keep(saved, lambda: jobs.submit("x", request, owner="o", key=key)[0])

    first, job = send(b"content", "a")
    _, other = send(b"content", "b")
    assert uploads.path(first.sha256).read_bytes() == b"content"
    uploads.release(first.sha256, job.id)
    assert uploads.path(first.sha256).exists(), "the other job needs it"
    jobs.cancel(job.id)
    jobs.cancel(other.id)
    uploads.sweep()
    assert list((tmp_path / "uploads").iterdir()) == []
    send(b"content", "a")
    assert list((tmp_path / "uploads").iterdir()) == [], "a repeated key needs no file again"


def test_the_judging_process_is_limited(tmp_path):
    """It says one sentence when its memory is used up, rather than taking the machine's."""
    made = make_dataset(tmp_path, "plates", n=3)
    dataset = open_datasets([made], tmp_path / "t", all_open=True)["plates"]
    (tmp_path / "upload").write_bytes(full_zip(made))
    (tmp_path / "work").mkdir()
    submission = {
        "upload": str(tmp_path / "upload"),
        "kind": "zip",
        "table": str(dataset.table),
        "by_id": False,
        "run": "r",
        "threshold": None,
        "decide": "auto",
        "resamples": 20_000_000,
        "max_unpacked_bytes": GIB,
    }
    task = {
        "submission": json.dumps(submission),
        "work": str(tmp_path / "work"),
        # With less, the libraries may already break off when they are loaded.
        "memory_bytes": 2 * GIB,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "millsight.evaluation.service.process"],
        input=json.dumps(task) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=os.environ | THREADS,
    )
    said = [json.loads(line) for line in ended.stdout.splitlines()]
    assert said[-1] == {"error": "Judging it needs more than the 2 GiB of memory a job may take."}
    assert [line["message"] for line in said[:-1]][:1] == ["unpacking"]


@pytest.mark.parametrize(
    ("shape", "size"),
    [((270, 213), (128, 128)), ((40, 48), (16, 16)), ((97, 311), (224, 224)), ((64, 64), (64, 64)),
     ((200, 37), (31, 37)), ((1, 5), (3, 2))],
)  # fmt: skip
def test_pictures_are_reduced_as_in_training(shape, size):
    import torch
    from torchvision.transforms import v2

    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    expected = v2.functional.resize(tensor, list(size), antialias=True).permute(1, 2, 0).numpy()
    assert (resize(picture, size) == expected).all()
