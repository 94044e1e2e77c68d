"""What is not made, and how that is told."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import replace

import pytest
from generation_requests import ask, pictures, wait

from millsight.generators.procedural.engine import ProceduralConfig
from millsight.generators.service.app import create_generation_app
from millsight.generators.service.config import ServeGenerationConfig
from millsight.generators.service.usable import unusable
from millsight.platform.catalog.synthetic import COMPOSED, RENDERED
from millsight.platform.errors import UserError


def post(served, **body):
    return served.client.post("/sets", json={"label": "scratch", **body}, headers=served.owner)


@pytest.mark.parametrize(
    ("body", "pointer", "told"),
    [
        ({"label": "rust"}, "body/label", "there are pit, scratch"),
        ({"label": None}, "body/label", "no real picture of this class"),
        ({"catalog": "zinc"}, "body/catalog", "catalogs steel"),
        ({"count": 0}, "body/count", "greater than or equal to 1"),
        ({"count": 41}, "body/count", "At most 40"),
        ({"count": 1e30}, "body/count", "integer"),
        ({"steps": 101, "mode": "text"}, "body/steps", "At most 100"),
        ({"mode": "magic"}, "body/mode", "copy_paste"),
        ({"strength": 0}, "body/strength", "greater than 0"),
        ({"seed": -1}, "body/seed", "greater"),
        ({"masks": "procedural"}, "body/masks", "pastes real defects"),
        ({"base": "tiny"}, "body/base", "draws with no model"),
        ({"mode": "text", "base": "big"}, "body/base", "base models tiny"),
        ({"mode": "text", "adapter": "rusty"}, "body/adapter", "adapters scratches, poisoned"),
        ({"mode": "text", "adapter": "poisoned"}, "body/adapter", "weights.bin is a pickle"),
        (
            {"mode": "text", "adapter": "scratches", "label": "pit"},
            "body/adapter",
            "was trained on scratch only",
        ),
        (
            {"mode": "text", "adapter": "scratches", "prompt": "a {defect}"},
            "body/prompt",
            "prompt of its training",
        ),
        ({"mode": "text", "prompt": "a scratch"}, "body/prompt", "Needs {defect}"),
        ({"mode": "text", "prompt": "{defect} " * 12_000}, "body/prompt", "at most 1000"),
        ({"title": "a\nb"}, "body/title", "pattern"),
        ({"colour": "red"}, "body/colour", "not permitted"),
        ({"like": {"set": "../..", "picture": "0-0"}}, "body/like/set", "pattern"),
    ],
)
def test_a_wrong_field_is_named(served, body, pointer, told):
    before = served.client.get("/sets", headers=served.reader).json()
    answer = post(served, **body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    errors = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert told in errors.get(pointer, ""), answer.json()
    priced = served.client.post("/cost", json={"label": "scratch", **body}, headers=served.reader)
    assert priced.json() == answer.json()
    assert served.client.get("/sets", headers=served.reader).json() == before


def test_a_prompt_that_the_text_encoder_cannot_read_fails_its_job(served):
    prompt = "{defect} " + "scratched steel " * 60
    set_id = ask(served.client, served.owner, mode="text", count=1, prompt=prompt)
    found = wait(served.client, set_id, served.owner)
    assert found["state"] == "failed"
    assert "the text encoder reads 75 tokens" in found["error"]


def test_a_body_of_two_megabytes_is_too_long(served):
    assert post(served, title="x" * 2_000_000).status_code == 413


def test_who_may_do_what(served):
    set_id = ask(served.client, served.owner, count=2)
    wait(served.client, set_id, served.owner)
    picture = pictures(served.client, set_id, served.reader, show="accepted")[0]["id"]
    place = f"/sets/{set_id}/pictures/{picture}"
    send = served.client.request
    assert send("POST", "/sets", json={"label": "pit"}, headers=served.reader).status_code == 403
    assert send("POST", "/sets", json={"label": "pit"}).status_code == 401
    keep = {"decision": "keep"}
    assert send("PATCH", place, json=keep, headers=served.other).status_code == 403
    assert send("DELETE", f"/sets/{set_id}", headers=served.other).status_code == 403
    views = {
        name: served.client.get(f"/sets/{set_id}", headers=getattr(served, name)).json()["mine"]
        for name in ("owner", "other", "reader")
    }
    assert views == {"owner": True, "other": False, "reader": False}
    many = {"decision": "keep", "pictures": [picture, "99-0"]}
    assert send("PATCH", f"/sets/{set_id}/pictures", json=many, headers=served.owner).is_error
    assert pictures(served.client, set_id, served.reader, show="kept") == []
    spent = served.client.get("/options", headers=served.owner).json()["usage"]
    assert send("DELETE", f"/sets/{set_id}", headers=served.owner).status_code == 204
    assert send("GET", place, headers=served.reader).status_code == 404
    after = served.client.get("/options", headers=served.owner).json()["usage"]
    assert after["megapixel_steps"] == pytest.approx(spent["megapixel_steps"])
    assert after["bytes"] < spent["bytes"]


def test_what_a_filter_rejected_is_never_kept(served):
    set_id = ask(served.client, served.owner, mode="text", base="tiny", count=2, steps=1)
    wait(served.client, set_id, served.owner)
    rejected = pictures(served.client, set_id, served.reader, show="rejected")
    assert rejected, "a random model draws nothing like a scratch"
    answer = served.client.patch(
        f"/sets/{set_id}/pictures/{rejected[0]['id']}",
        json={"decision": "keep"},
        headers=served.owner,
    )
    assert answer.status_code == 409
    if not pictures(served.client, set_id, served.reader, show="accepted"):
        assert served.client.get(f"/sets/{set_id}/archive", headers=served.owner).is_error


def test_the_days_budget_is_one_for_all_sets_and_tells_what_is_left(served, monkeypatch):
    usage = served.client.get("/options", headers=served.other).json()["usage"]
    priced = served.client.post("/cost", json={"label": "pit", "count": 10}, headers=served.other)
    price = priced.json()["megapixel_steps"]
    assert price == pytest.approx(3 * 10 * 96 * 96 / 1e6)
    most = usage["megapixel_steps"] + 1.5 * price
    monkeypatch.setattr(served.config, "megapixel_steps_per_day", most)
    body = {"label": "pit", "count": 10}

    def send(**changed):
        return served.client.post("/sets", json={**body, **changed}, headers=served.other)

    first = send()
    assert first.status_code == 202
    second = send()
    assert second.status_code == 429
    assert 0 < int(second.headers["retry-after"]) <= 86_400
    assert "are left" in second.json()["detail"]
    ended = wait(served.client, first.json()["id"], served.other)
    assert ended["megapixel_steps"] == pytest.approx(ended["attempts"] * 96 * 96 / 1e6)
    # What was set aside and not tried is there again.
    assert send().status_code == 202
    assert send(count=40).status_code in {422, 429}


def test_a_full_disk_and_a_full_share_of_it_take_no_set(served, monkeypatch):
    monkeypatch.setattr(served.config, "megabytes_per_token", 0.0)
    answer = post(served, count=1)
    assert answer.status_code == 507
    assert "delete some" in answer.json()["detail"]
    monkeypatch.undo()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(1 << 40, 1 << 40, 1 << 20))
    answer = post(served, count=1)
    assert (answer.status_code, answer.json()["detail"]) == (507, "The service's disk is full.")


def test_a_set_that_outgrows_its_share_keeps_what_it_has(served, monkeypatch):
    taken = served.client.get("/options", headers=served.owner).json()["usage"]["bytes"]
    monkeypatch.setattr(served.config, "megabytes_per_token", (taken + 1) / (1 << 20))
    set_id = ask(served.client, served.owner, count=30)
    found = wait(served.client, set_id, served.owner)
    assert found["state"] == "failed"
    assert "what was made is kept" in found["error"]
    assert 0 < found["accepted"] < 30
    archive = served.client.get(f"/sets/{set_id}/archive", headers=served.owner)
    assert archive.status_code == 200


def test_a_class_without_plates_or_masks_has_its_modes_refused(served):
    steel = served.state.catalogs["steel"]
    bare = [replace(one, mask_uri=None) for one in steel.catalog if one.defective]
    alone = replace(steel, catalog=steel.catalog.with_samples(bare))
    rendered = ProceduralConfig()
    why = unusable(alone, "pit", "copy_paste", rendered, drawn_masks=False)
    assert "no good picture" in str(why)
    plates = [one for one in steel.catalog if not one.defective]
    placed = replace(steel, catalog=steel.catalog.with_samples([*plates, *bare]))
    assert "mask or boxes" in str(unusable(placed, "pit", "inpaint", rendered, drawn_masks=False))
    assert unusable(placed, "pit", "inpaint", rendered, drawn_masks=True) is None
    assert unusable(placed, "pit", "variation", rendered, drawn_masks=False) is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"replicas": 0}, "--replicas 0: at least 1"),
        ({"shard_size": 0}, "--shard_size 0: at least 1"),
        ({"procedural": ProceduralConfig(names=["dent"])}, "--procedural.names dent"),
    ],
)
def test_settings_that_nothing_can_be_made_with_are_refused_at_the_start(tmp_path, changed, told):
    with pytest.raises(UserError, match=told):
        create_generation_app(ServeGenerationConfig(folder=tmp_path, **changed))


def test_a_class_may_have_a_rendered_defect_of_another_name(served):
    steel = served.state.catalogs["steel"]
    dents = [replace(one, label="dent") for one in steel.catalog if one.label == "pit"]
    dented = replace(steel, catalog=steel.catalog.with_samples(dents))
    unnamed, named = ProceduralConfig(), ProceduralConfig(names=["dent=pit"])
    assert "draws" in str(unusable(dented, "dent", "procedural", unnamed, drawn_masks=False))
    assert unusable(dented, "dent", "procedural", named, drawn_masks=False) is None


def test_rendered_pictures_have_classes_like_photographs_and_derived_ones_have_none(served):
    steel = served.state.catalogs["steel"]
    for source, classes in ((RENDERED, {"pit", "scratch"}), (COMPOSED, set())):
        marked = steel.catalog.with_samples(replace(one, synthetic=source) for one in steel.catalog)
        assert set(replace(steel, catalog=marked).materials) == classes
