"""What comes of predictions in every form that the service takes."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from evaluation_sets import (
    full_zip,
    onnx_model,
    png,
    samples_of,
    scores_csv,
    true_mask,
    zip_of,
)

from millsight.evaluation.results import from_table, read_table
from millsight.evaluation.service.resizing import resize
from millsight.evaluation.service.submission import Decide
from millsight.platform.catalog.pictures import open_picture
from millsight.platform.errors import UserError
from millsight.platform.services.uploads import UploadError


def headline(filled, name: str) -> dict[str, float]:
    run = filled.client.get(f"/runs/{filled.runs[name]}", headers=filled.reader).json()
    return {key: value["value"] for key, value in run["headline"].items()}


def test_a_right_zip_is_right_in_every_task(filled):
    found = headline(filled, "open/right")
    right = ("image_auroc", "seg_miou", "seg_recall", "sample_f1", "map_50_95", "accuracy")
    assert {name: found[name] for name in right} == dict.fromkeys(right, pytest.approx(1))
    assert found["escape_rate"] == found["overkill_rate"] == 0


def test_wrong_pictures_count_as_wrong(filled):
    found = headline(filled, "open/wrong")
    assert found["accuracy"] == pytest.approx(20 / 24)
    assert found["seg_miou"] < 1
    assert found["sample_f1"] < 1


def test_scores_alone_and_boxes_alone(filled):
    scores, boxes = (headline(filled, f"open/{name}") for name in ("scores", "boxes"))
    assert scores["image_auroc"] == pytest.approx(0.5), "all pictures tie"
    assert scores["escape_rate"] == 1
    assert boxes["map_50"] == 0
    assert boxes["escape_rate"] == 1


def test_a_model_is_run_on_the_pictures(filled):
    """Its score is the brightest pixel of the reduced picture, which can be computed by hand."""
    import cv2

    folder = filled.folder / "runs" / filled.runs["open/model"]
    rows = list(from_table(read_table(folder / "results.parquet")))
    row = rows[0]
    reduced = resize(open_picture(row.uri), (16, 16))
    expected = (reduced.astype(np.float32) / 255).mean(axis=2)
    assert row.score == pytest.approx(expected.max(), abs=1e-5)
    mask = cv2.imread(str(folder / str(row.predicted_mask_uri)), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint16
    assert mask.shape == (row.height, row.width)
    assert mask.mean() / 65535 == pytest.approx(expected.mean(), abs=0.01)
    assert row.decision is True
    assert row.predicted_area is not None


def test_idempotency_and_what_is_kept(filled, ended):
    """The same key gives the same job; a submission's file is gone once it is judged."""
    body, url = full_zip(filled.configs["open"], [1]), "/datasets/open/runs?name=again"
    headers = {
        **filled.submitter,
        "Content-Type": "application/zip",
        "Idempotency-Key": "nightly-1",
    }
    first = filled.client.post(url, content=body, headers=headers)
    again = filled.client.post(url, content=body, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == f"/jobs/{first.json()['id']}"
    other = filled.client.post(url, content=body + b"x", headers=headers)
    assert other.status_code == 409
    job = ended(filled.client, first.json()["id"], filled.reader)
    assert job["result"] == {"run": job["id"]}
    late = filled.client.post(url, content=body, headers=headers)
    assert (late.status_code, late.json()["state"]) == (200, "done")
    assert list((filled.folder / "uploads").iterdir()) == []
    assert list((filled.folder / "work").iterdir()) == []
    mine = filled.client.get("/runs?mine=true&limit=200", headers=filled.submitter).json()["items"]
    assert [run["id"] for run in mine].count(job["id"]) == 1
    assert not filled.client.get("/runs?mine=true", headers=filled.reader).json()["items"]
    _delete(filled, job["id"])


def _delete(filled, run: str) -> None:
    delete = filled.client.delete
    assert delete(f"/runs/{run}", headers=filled.reader).status_code == 403
    assert delete(f"/runs/{run}", headers=filled.submitter).status_code == 204
    assert delete(f"/runs/{run}", headers=filled.admin).status_code == 404
    assert not (filled.folder / "runs" / run).exists()


@pytest.mark.parametrize(
    ("files", "case"),
    [
        ({"masks": True}, ({}, 16)),
        ({"scores": 0.7}, ({"threshold": 0.5}, 24)),
        ({"scores": 0.7}, ({}, None)),
        ({"scores": 0.7, "masks": True}, ({}, 16)),
        ({"scores": 0.7, "masks": True}, ({"threshold": 0.5}, 24)),
        ({"scores": 0.7, "masks": True}, ({"threshold": 0.5, "decide": Decide.PIXELS}, 16)),
        ({"label": "pit"}, ({}, 24)),
        ({"decision": 1, "masks": True}, ({}, 24)),
        ({"decision": 1, "masks": True}, ({"decide": Decide.PIXELS}, 16)),
    ],
)
def test_what_decides(filled, judge_here, tmp_path, files, case):
    """As ``millsight evaluate`` does it: what was said, scores, pixels, classes."""
    changes, calls = case
    samples = samples_of(filled.configs["open"])
    content = {}
    if files.pop("masks", False):
        content |= {f"{sample.id}.png": png(true_mask(str(sample.label))) for sample in samples}
    for column, value in files.items():
        lines = [(sample.id, value) for sample in samples]
        content["scores.csv"] = scores_csv(lines, ("file", column.removesuffix("s")))
    judge_here(zip_of(content), **changes)
    rows = list(from_table(read_table(next(tmp_path.glob("*/run/results.parquet")))))
    decided = [row.decision for row in rows]
    assert (None if None in decided else sum(decided)) == calls


@pytest.mark.parametrize(
    ("media", "status"), [("text/plain", 415), ("multipart/form-data; boundary=x", 415), ("", 415)]
)
def test_other_kinds_of_body(filled, media, status):
    headers = {**filled.submitter, "Content-Type": media}
    answer = filled.client.post("/datasets/open/runs?name=x", content=b"x", headers=headers)
    assert answer.status_code == status
    assert "application/zip" in answer.json()["detail"]


@pytest.mark.parametrize(
    "query",
    ["", "name=", "name=%00", "name=x&threshold=nan", "name=x&threshold=inf", "name=x&decide=odd",
     "name=x&colour=red", f"name={'x' * 101}"],
)  # fmt: skip
def test_queries_that_make_no_sense(filled, query):
    headers = {**filled.submitter, "Content-Type": "text/csv"}
    answer = filled.client.post(f"/datasets/open/runs?{query}", content=b"x", headers=headers)
    assert answer.status_code == 422


def test_who_may_submit(filled):
    url, kind = "/datasets/open/runs?name=x", {"Content-Type": "text/csv"}
    assert filled.client.post(url, content=b"x", headers=kind).status_code == 401
    answer = filled.client.post(url, content=b"x", headers={**filled.reader, **kind})
    assert answer.status_code == 403
    assert (
        filled.client.post("/datasets/none/runs?name=x", headers=filled.submitter).status_code
        == 404
    )


def test_a_failed_job_says_what_to_do(filled, ended):
    answer = filled.client.post(
        "/datasets/open/runs?name=bad",
        content=zip_of({"model.onnx": b"garbage"}),
        headers={**filled.submitter, "Content-Type": "application/zip"},
    )
    job = ended(filled.client, answer.json()["id"], filled.reader)
    assert (job["state"], job["attempts"]) == ("failed", 1)
    assert job["error"].startswith("model.onnx does not load")
    assert str(filled.folder) not in job["error"]
    assert not (filled.folder / "uploads" / answer.json()["id"]).exists()


def test_cancelling_ends_the_judging_process(filled, ended):
    answer = filled.client.post(
        "/datasets/open/runs?name=slow",
        content=zip_of({"model.onnx": onnx_model(2048, 2048)}),
        headers={**filled.submitter, "Content-Type": "application/zip"},
    )
    path = f"/jobs/{answer.json()['id']}"
    while filled.client.get(path, headers=filled.reader).json()["done"] < 1:
        time.sleep(0.02)
    assert filled.client.post(f"{path}/cancel", headers=filled.submitter).status_code == 200
    assert ended(filled.client, path.rpartition("/")[2], filled.reader)["state"] == "cancelled"
    assert list((filled.folder / "work").iterdir()) == []


BAD_BOX = {"image_id": "nobody", "category_id": "pit", "bbox": [0, 0, 5, 5], "score": 1}


@pytest.mark.parametrize(
    ("files", "kind", "changes", "message"),
    [
        (json.dumps([BAD_BOX]).encode(), "json", {}, "none of the pictures"),
        ({"model.onnx": onnx_model(gain=2.0)}, "zip", {}, r"not in \[0, 1\]"),
        ({"model.onnx": onnx_model(input_name="image")}, "zip", {}, "needs the input"),
        ({"model.onnx": onnx_model(4096, 4096)}, "zip", {}, "sides fixed, at most 2048"),
        ({"model.onnx": onnx_model(), "scores.csv": "file,score\n"}, "zip", {}, "not both"),
        ({"notes.json": "[]"}, "zip", {}, "use each of"),
        ({"a/scores.csv": "", "b/scores.csv": ""}, "zip", {}, "use each of"),
        ({"annotations.json": "{}"}, "zip", {}, "put that in too"),
        ({"masks/x.png": b"x"}, "zip", {}, "nothing for 24 of 24"),
        ({"__MACOSX/x.png": b"x"}, "zip", {}, "holds no file"),
        (b"file,label\n", "csv", {"decide": Decide.SCORE}, "nothing for 24 of 24"),
        (b"[]", "json", {"decide": Decide.LABEL}, "not every picture has such"),
        (b"[]", "json", {"decide": Decide.BOXES}, "say from which threshold"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_submission(judge_here, files, kind, changes, message):
    content = files if isinstance(files, bytes) else zip_of(files)
    with pytest.raises((UserError, UploadError), match=message):
        judge_here(content, kind, **changes)


def test_a_model_may_not_name_further_files(judge_here, tmp_path, monkeypatch):
    """Weights in a file elsewhere would be any file of the service's machine."""
    import onnx

    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "secret.bin").write_bytes(b"\0" * 4)
    model = onnx.load_from_string(onnx_model())
    gain = model.graph.initializer[0]
    gain.ClearField("float_data")
    gain.data_location = onnx.TensorProto.EXTERNAL
    for location in ("../secret.bin", str(tmp_path / "secret.bin")):
        del gain.external_data[:]
        for key, value in (("location", location), ("offset", "0"), ("length", "4")):
            entry = gain.external_data.add()
            entry.key, entry.value = key, value
        with pytest.raises(UserError, match="does not load"):
            judge_here(zip_of({"model.onnx": model.SerializeToString()}))
