"""A set from its request to its archive, over HTTP, with a real replica."""

from __future__ import annotations

import io
import json
import shlex
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from generation_requests import ask, pictures, wait

from millsight.generators.service.models import Models
from millsight.platform.catalog.catalog import load_data
from millsight.platform.catalog.synthetic import COMPOSED
from millsight.platform.cli import main
from millsight.platform.services.problems import ProblemError

MODES = {
    "copy_paste": {},
    "variation": {"adapter": "scratches", "steps": 2},
    "inpaint": {"base": "tiny", "masks": "procedural", "steps": 2},
    "text": {"prompt": "steel with a {defect}", "steps": 1},
    "procedural": {},
}


@pytest.fixture(scope="module")
def made(served):
    """A finished set of each mode, by mode."""
    sets = {
        mode: ask(served.client, served.owner, mode=mode, count=3, **settings)
        for mode, settings in MODES.items()
    }
    found = {mode: wait(served.client, one, served.owner) for mode, one in sets.items()}
    for one in found.values():
        assert one["state"] == "done", one
    return found


def get(served, path, **query):
    answer = served.client.get(path, params=query, headers=served.reader)
    assert answer.status_code == 200, answer.text
    return answer


def image(served, set_id, picture, what, **query):
    content = get(served, f"/sets/{set_id}/pictures/{picture}/{what}", **query).content
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_every_try_is_there_with_its_verdicts_and_the_table_counts_them(served, made):
    for found in made.values():
        seen = pictures(served.client, found["id"], served.reader)
        assert [one["number"] for one in seen] == sorted(one["number"] for one in seen)
        assert len(seen) == found["attempts"] == found["accepted"] + found["rejected"]
        assert found["table"][-1]["filter"] == "all filters"
        assert found["table"][-1]["judged"] == len(seen)
        for one in seen:
            assert one["accepted"] == all(verdict["accepted"] for verdict in one["verdicts"])
        assert found["short"] == (found["accepted"] < 3)
        assert found["short"] == any("missing" in note for note in found["notes"])
    assert made["copy_paste"]["accepted"] == 3
    licences = made["inpaint"]["notes"]
    assert any("licence is apache-2.0" in note for note in licences)


def test_a_set_spends_what_its_tries_drew_and_no_more_than_was_set_aside(served, made):
    # The tiny model draws one square of 64 pixels; of two steps, a strength of 0.6 leaves one.
    sides = dict.fromkeys(("variation", "inpaint", "text"), 64) | {
        "copy_paste": 96,
        "procedural": 256,
    }
    for mode, found in made.items():
        each = sides[mode] ** 2 / 1e6
        assert found["megapixel_steps"] == pytest.approx(found["attempts"] * each)
        body = {name: found["request"][name] for name in ("mode", "count", "steps", "adapter")}
        priced = served.client.post(
            "/cost", json={"label": "scratch", **body}, headers=served.reader
        ).json()
        assert priced["megapixel_steps_each"] == pytest.approx(each)
        assert priced["megapixel_steps"] == pytest.approx(3 * 3 * each)


@pytest.mark.parametrize("mode", MODES)
def test_a_recipe_makes_exactly_its_picture_again(served, made, tmp_path, mode):
    found = made[mode]
    last = pictures(served.client, found["id"], served.reader)[-1]["id"]
    told = get(served, f"/sets/{found['id']}/pictures/{last}/recipe").json()
    quiet = ["--tracking.wandb", "disabled", "--tracking.directory", str(tmp_path / "tracking")]
    words = [*shlex.split(told["command"])[1:], "--execution.device", "cpu", *quiet]
    assert main([*words, "--output", str(tmp_path / "made")]) == 0
    written = (tmp_path / "made" / "set" / told["file"]).read_bytes()
    shown = get(served, f"/sets/{found['id']}/pictures/{last}/image").content
    assert written == shown
    assert len(list((tmp_path / "made" / "set" / "images").rglob("*.png"))) == 1

    (tmp_path / "recipe.yaml").write_text(told["yaml"])
    again = ["generate", "sample", "--config", str(tmp_path / "recipe.yaml"), *quiet]
    assert main([*again, "--execution.device", "cpu", "--output", str(tmp_path / "made")]) == 0


def test_before_and_after_agree_outside_of_the_mask(served, made):
    for mode, found in made.items():
        one = pictures(served.client, found["id"], served.reader)[0]
        place = found["id"], one["id"]
        after = image(served, *place, "image")
        mask = image(served, *place, "mask")
        small = image(served, *place, "image", size="thumbnail")
        assert max(small.shape[:2]) <= 256
        assert after.shape[:2] == mask.shape == (one["height"], one["width"])
        assert set(np.unique(mask)) <= {0, 255}
        assert (mask > 0).sum() == one["defect_pixels"]
        shown = image(served, *place, "overlay")
        assert ((shown[..., 3] > 0) == (mask > 0)).all()
        if one["before"] is None:
            assert mode == "text"
            continue
        before = image(served, *place, "before")
        if mode == "inpaint":
            changed = (before[..., 0] != after) & (mask == 0)
            assert not changed.any()
        if one["before"] == "source":
            assert mode == "variation"
            assert before.shape[:2] == after.shape[:2]


def test_an_archive_of_a_model_that_is_gone_is_refused(served, made, monkeypatch):
    found = served.state.sets.get(made["variation"]["id"])
    for models, told in (
        (Models(), "base model tiny"),
        (Models(bases=served.state.models.bases), "adapter scratches"),
    ):
        monkeypatch.setattr(served.state.archives, "_models", models)
        with pytest.raises(ProblemError, match=f"The {told} is not registered"):
            served.state.archives.sources(found)


def test_an_archive_has_what_nobody_dropped_with_marks_and_a_card(served, tmp_path):
    set_id = ask(served.client, served.owner, count=4, seed=9)
    wait(served.client, set_id, served.owner)
    accepted = pictures(served.client, set_id, served.reader, show="accepted")
    drop, keep = accepted[0]["id"], accepted[1]["id"]
    for picture, decision in ((drop, "drop"), (keep, "keep")):
        answer = served.client.patch(
            f"/sets/{set_id}/pictures/{picture}",
            json={"decision": decision},
            headers=served.owner,
        )
        assert answer.json()["decision"] == decision
    view = get(served, f"/sets/{set_id}").json()
    assert (view["kept"], view["dropped"], view["downloaded"]) == (1, 1, None)
    shown = {
        show: len(pictures(served.client, set_id, served.reader, show=show))
        for show in ("undecided", "kept", "dropped")
    }
    assert shown == {"undecided": 2, "kept": 1, "dropped": 1}

    for which, count in (("undropped", 3), ("kept", 1)):
        answer = get(served, f"/sets/{set_id}/archive", which=which)
        assert "attachment" in answer.headers["content-disposition"]
        with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
            packed.extractall(tmp_path / which)
        samples = list(load_data(str(tmp_path / which)))
        assert [(one.label, one.split, one.synthetic) for one in samples] == (
            [("scratch", "train", COMPOSED)] * count
        )
        card = (tmp_path / which / "README.md").read_text()
        assert f"| by hand | 4 | {4 - count} |" in card
    rows = [json.loads(line) for line in (tmp_path / "kept" / "provenance.jsonl").open()]
    assert [f"{row['request']['index']}-{row['request']['attempt']}" for row in rows] == [keep]
    assert rows[0]["verdicts"]
    coco = get(served, f"/sets/{set_id}/archive", format="coco").content
    assert "annotations/instances_train.json" in zipfile.ZipFile(io.BytesIO(coco)).namelist()
    assert list((served.config.folder / "archives").iterdir()) == []
    # A reader's look starts no clock, the owner's download does.
    assert get(served, f"/sets/{set_id}").json()["downloaded"] is None
    served.client.get(f"/sets/{set_id}/archive", headers=served.owner)
    ended = get(served, f"/sets/{set_id}").json()
    assert ended["downloaded"] < ended["expires"] < view["expires"]


def test_more_like_this_uses_what_the_picture_was_made_of(served, made):
    for mode, count in (("copy_paste", 2), ("variation", 2), ("inpaint", 2)):
        first = pictures(served.client, made[mode]["id"], served.reader)[0]
        like = {"set": made[mode]["id"], "picture": first["id"]}
        body = {"count": count, "like": like}
        answer = served.client.post("/sets", json=body, headers=served.other)
        more = wait(served.client, answer.json()["id"], served.other)
        assert more["like"] == like
        assert more["request"]["seed"] != made[mode]["request"]["seed"]
        assert {more[name] == made[mode][name] for name in ("mode", "label", "catalog")} == {True}
        seen = pictures(served.client, more["id"], served.reader)
        assert [one["made_of"] for one in seen] == [first["made_of"]] * len(seen)
        tag = {one["provenance"].get("seed", one["seed"]) for one in seen}
        assert len(tag) == len(seen)
    changed = {"count": 1, "mode": "text", "like": like}
    refused = served.client.post("/sets", json=changed, headers=served.other)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "body/mode"


def test_pictures_are_followed_by_their_latest_cursor(served):
    set_id = ask(served.client, served.owner, count=8, seed=3)
    seen, cursor = [], None
    with served.client.stream("GET", f"/jobs/{set_id}/events", headers=served.reader) as stream:
        for line in stream.iter_lines():
            if not line.startswith("data: "):
                continue
            query = {"limit": 200} | ({"cursor": cursor} if cursor else {})
            page = get(served, f"/sets/{set_id}/pictures", **query).json()
            seen += [one["id"] for one in page["items"]]
            cursor = page["latest"]
    whole = [one["id"] for one in pictures(served.client, set_id, served.reader)]
    assert seen == whole
    paged, cursor = [], None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = get(served, f"/sets/{set_id}/pictures", **query).json()
        paged += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == whole


def test_options_tell_what_can_be_done_and_why_not(served):
    found = get(served, "/options").json()
    (steel,) = found["catalogs"]
    assert {one["label"]: one["masks"] for one in steel["classes"]} == {"pit": 8, "scratch": 8}
    assert steel["plates"] == 8
    assert steel["modes"]["scratch"] == list(MODES)
    assert steel["unusable"] == {"pit": {}, "scratch": {}}
    (base,) = found["bases"]
    assert (base["license"], base["problem"], base["side"]) == ("apache-2.0", None, 64)
    problems = {one["name"]: one["problem"] for one in found["adapters"]}
    assert problems["scratches"] is None
    assert problems["poisoned"].startswith("poisoned: weights.bin is a pickle")
    assert str(Path(served.config.adapters[1].folder).parent) not in json.dumps(found)
