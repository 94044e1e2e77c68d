"""Single pictures' truth does not leave the service: same pictures, other truth, same answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluation_sets import full_zip, samples_of, zip_of

from millsight.evaluation.service.visibility import coarse, coarse_curves, coarse_evaluation
from millsight.platform.errors import UserError

TRUTH = ("verdict", "loss", "label", "defective", "seg_iou", "has_truth_mask", "true_boxes")


def get(filled, path: str, who: str = "submitter"):
    return filled.client.get(path, headers=getattr(filled, who))


def per_picture(filled, dataset: str) -> dict[str, object]:
    """Every answer that says something about single pictures, whatever the run is called."""
    runs = [filled.runs[f"{dataset}/{name}"] for name in ("first", "second")]
    answers: dict[str, object] = {}
    page = get(filled, f"/datasets/{dataset}/pictures?limit=200").json()
    answers["pictures"] = page
    for item in page["items"]:
        sample = item["sample_id"]
        for size in ("thumbnail", "full"):
            answer = get(filled, f"/datasets/{dataset}/pictures/{sample}?size={size}")
            answers[f"{sample} {size}"] = (answer.status_code, answer.content)
        for number, run in enumerate(runs):
            for layer in ("prediction", "map", "truth"):
                answer = get(filled, f"/runs/{run}/pictures/{sample}/overlay?layer={layer}")
                answers[f"{sample} {number} {layer}"] = (answer.status_code, answer.content)
    for number, run in enumerate(runs):
        for order in ("score", "-score", "worst", "escapes", "overkills"):
            answer = get(filled, f"/runs/{run}/pictures?order={order}&limit=200")
            answers[f"{number} {order}"] = (answer.status_code, answer.json())
    for kind in ("only_first_right", "only_second_right", "both_wrong"):
        answer = get(filled, f"/compare/pictures?first={runs[0]}&second={runs[1]}&kind={kind}")
        answers[kind] = answer.status_code
    return answers


def test_nothing_about_a_picture_depends_on_its_truth(filled):
    hidden, twin = per_picture(filled, "hidden"), per_picture(filled, "twin")
    assert hidden == twin
    assert {hidden[name] for name in ("only_first_right", "both_wrong")} == {403}
    refused = {key: value for key, value in hidden.items() if key.endswith(" truth")}
    assert len(refused) == 48
    assert {status for status, _ in refused.values()} == {403}
    status, page = hidden["0 -score"]
    assert (status, page["total"]) == (200, 24)
    assert all(item[name] is None for item in page["items"] for name in TRUTH)
    assert hidden["0 worst"][0] == hidden["1 escapes"][0] == 403


def test_the_twin_is_indeed_judged_otherwise(filled):
    first, twin = (
        get(filled, f"/runs/{filled.runs[f'{name}/first']}").json()["headline"]
        for name in ("hidden", "twin")
    )
    assert first["sample_f1"]["value"] != twin["sample_f1"]["value"]


def test_no_name_says_a_class(filled):
    """Folders are called after classes: neither names nor messages may hold them."""
    runs = [filled.runs[f"hidden/{name}"] for name in ("first", "second")]
    paths = ["/datasets", "/datasets/hidden/pictures", "/runs", "/jobs", f"/runs/{runs[0]}"]
    paths += ["/leaderboard?dataset=hidden", f"/runs/{runs[0]}/pictures"]
    for path in paths:
        text = get(filled, path).text
        assert "part00" not in text
        assert str(filled.folder.parent) not in text


def test_numbers_are_coarse_for_those_who_may_not_see(filled):
    run = filled.runs["hidden/first"]
    shown, whole = (get(filled, f"/runs/{run}", who).json() for who in ("reader", "admin"))
    assert (shown["truth_visible"], whole["truth_visible"]) == (False, True)
    assert shown["evaluation"]["classes"]["reliability"] is None
    assert shown["evaluation"]["maps"]["mean"]["image_threshold"] is None
    assert whole["evaluation"]["classes"]["reliability"] is not None
    for curve in shown["curves"]:
        assert all(len(line["x"]) <= 2 for line in curve["series"].values()), "24 pictures"
    value = whole["headline"]["seg_miou"]["value"]
    assert shown["headline"]["seg_miou"]["value"] == round(value, 4)


def test_admins_and_readers_of_open_sets_see_all(filled):
    for who, name in (("admin", "hidden/first"), ("reader", "open/wrong")):
        run = filled.runs[name]
        page = get(filled, f"/runs/{run}/pictures?order=worst", who).json()
        assert page["items"][0]["verdict"] in {"escape", "overkill"}
        sample = next(item for item in page["items"] if item["has_truth_mask"])["sample_id"]
        overlay = get(filled, f"/runs/{run}/pictures/{sample}/overlay?layer=truth", who)
        assert overlay.status_code == 200


def test_complaints_do_not_depend_on_truth(filled, judge_here):
    """Annotations that leave one picture out are refused, whether it is good or not."""
    errors = set()
    samples = samples_of(filled.configs["hidden"])
    for left_out in ("good", "pit"):
        missing = next(sample for sample in samples if sample.label == left_out)
        images = [
            {"id": number, "file_name": f"{sample.id}.png"}
            for number, sample in enumerate(samples)
            if sample is not missing
        ]
        categories = [{"id": 1, "name": "pit"}]
        annotations = {"images": images, "annotations": [], "categories": categories}
        files = {"detections.json": "[]", "annotations.json": json.dumps(annotations)}
        with pytest.raises(UserError) as caught:
            judge_here(zip_of(files), dataset="hidden")
        errors.add(str(caught.value).replace(missing.id, "ID"))
    assert len(errors) == 1
    assert "nothing for 1 of 24 pictures, such as ID.png" in errors.pop()


def test_hidden_pictures_go_by_id_alone(filled, judge_here):
    """Two names in folders called after classes, with two scores, would tell the class."""
    lines = [
        f"{label}/{path.name},{score}"
        for sample in samples_of(filled.configs["hidden"])
        for path in [Path(sample.uri)]
        for score, label in enumerate(("good", "pit", "scratch"))
    ]
    with pytest.raises(UserError, match="nothing for 24 of 24"):
        judge_here("\n".join(["file,score", *lines]).encode(), "csv", "hidden")
    judge_here("\n".join(["file,score", *lines]).encode(), "csv", "open")


def test_a_class_for_every_picture_is_refused(filled, judge_here):
    """The confusion matrix would be a list of the labels."""
    lines = "".join(
        f"{sample.id},own{number}\n"
        for number, sample in enumerate(samples_of(filled.configs["hidden"]))
    )
    message = "is none of the dataset's classes; they are good, pit, scratch"
    with pytest.raises(UserError, match=message):
        judge_here(f"file,label\n{lines}".encode(), "csv", "hidden")


def test_a_broken_mask_of_the_operators_tells_no_name(filled, judge_here):
    sample = next(s for s in samples_of(filled.configs["hidden"]) if s.mask_uri)
    mask = Path(str(sample.mask_uri))
    whole = mask.read_bytes()
    mask.write_bytes(b"broken")
    try:
        with pytest.raises(UserError) as caught:
            judge_here(full_zip(filled.configs["hidden"]), dataset="hidden")
    finally:
        mask.write_bytes(whole)
    assert sample.id in str(caught.value)
    assert "part" not in str(caught.value)


def test_submissions_against_hidden_labels_are_counted(filled, monkeypatch):
    state = filled.client.app.state.evaluation
    monkeypatch.setattr(state.config, "submissions_per_day", 1)
    headers = {**filled.submitter, "Content-Type": "text/csv"}
    answer = filled.client.post("/datasets/hidden/runs?name=x", content=b"x", headers=headers)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 80_000


def test_coarse_numbers():
    one = {"value": 0.123456, "low": 0.1, "high": 0.2, "n": 4}
    many = {"value": 0.123456, "low": 0.1, "high": 0.2, "n": 5}
    assert coarse([one, {"x": many}]) == [
        {"value": None, "low": None, "high": None, "n": 4},
        {"x": {"value": 0.1235, "low": 0.1, "high": 0.2, "n": 5}},
    ]


def test_slices_of_few_pictures_are_left_out():
    slices = [{"name": "small", "n_pictures": 4}, {"name": "large", "n_pictures": 5}]
    shown = coarse_evaluation({"samples": {"overall": {}, "slices": slices}})
    assert [row["name"] for row in shown["samples"]["slices"]] == ["large"]


def test_coarse_confusion_and_curves():
    classes = {"confusion": [[9, 1, 0], [3, 0, 0]], "reliability": {"counts": [1]}}
    shown = coarse_evaluation({"classes": classes})["classes"]
    assert shown["confusion"] == [[9, None, 0], [3, None, 0]]
    line = {"x": [step / 100 for step in range(101)], "y": [1.0] * 101}
    curves = [{"name": "roc", "series": {"a": line}}, {"name": "reliability", "series": {}}]
    assert [len(c["series"]["a"]["x"]) for c in coarse_curves(curves, 1000)] == [21]
    assert [len(c["series"]["a"]["x"]) for c in coarse_curves(curves, 55)] == [5]
    assert coarse_curves(curves, 19) == []


@pytest.mark.parametrize("path", ["/datasets", "/runs", "/me", "/leaderboard?dataset=hidden"])
def test_nobody_without_a_token(filled, path):
    filled.client.cookies.clear()
    assert filled.client.get(path).status_code == 401
