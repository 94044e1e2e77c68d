from __future__ import annotations

import json

import numpy as np
import pytest

from millsight.evaluation.results import (
    PictureResult,
    ResultBox,
    coco,
    from_table,
    scores,
    to_table,
)
from millsight.platform.errors import UserError

WIDTH, HEIGHT = 20, 12


def row(uri: str, sample_id: str | None = None, **known) -> PictureResult:
    return PictureResult(sample_id or f"id-{uri}", uri, "steel", WIDTH, HEIGHT, **known)


def write_json(path, content) -> str:
    path.write_text(json.dumps(content))
    return str(path)


class TestScores:
    def add(self, tmp_path, rows, text):
        (tmp_path / "s.csv").write_text(text)
        return scores.add_scores(rows, str(tmp_path / "s.csv"))

    def test_everything_a_line_says_is_filled_in(self, tmp_path):
        text = (
            "\ufefffile,score,label,decision,class:dent,class:OK\n"
            'C:\\x\\a.PNG,0.25,"OK",no,0.1,0.9\n'
            "id-b,1e1,dent,1,0.75,0.25\nelsewhere.png,0,,0,0,0\n"
        )
        a, b = self.add(tmp_path, [row("x/a.png"), row("b.png", "id-b")], text)
        assert (a.score, a.predicted_label, a.decision) == (0.25, "good", False)
        assert a.class_scores == {"dent": 0.1, "good": 0.9}
        assert (b.score, b.predicted_label, b.decision) == (10, "dent", True)

    def test_what_it_does_not_say_stays(self, tmp_path):
        (found,) = self.add(tmp_path, [row("a.png", score=0.5)], "file,label\na,\n")
        assert found == row("a.png", score=0.5)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("a.png,0.5\n", "first line is 'a.png,0.5'"),
            ("file;score\na.png;1\n", "separated by commas"),
            ("file,score,score\na.png,1,2\n", "each once"),
            ("", "first line is ''"),
            ("file,score\na.png,nan\n", r"s\.csv line 2: score is 'nan'"),
            ("file,score\na.png,\n", "line 2: score is ''"),
            ("file,score\na.png,1,2\n", "line 2 has more or fewer cells"),
            ("file,score\na.png\n", "line 2 has more or fewer cells"),
            ("file,score\n,1\n", "line 2 names no file"),
            ("file,decision\na.png,maybe\n", "line 2: decision is 'maybe'"),
            ('file,score\n"a.png,1\n', "not valid CSV"),
            (f"file,score\n{'a' * 200_000},1\n", "not valid CSV"),
            ("file,score\nb.png,1\n", r"nothing for 1 of 1 pictures, such as a\.png"),
            ("file,score\na.png,1\na.png,2\n", r"line 2 .* and .*line 3 .* both go with a\.png"),
        ],
    )
    def test_a_bad_file_is_refused_with_its_line(self, tmp_path, text, reason):
        with pytest.raises(UserError, match=reason):
            self.add(tmp_path, [row("a.png")], text)

    def test_bytes_that_are_not_text_are_refused(self, tmp_path):
        (tmp_path / "s.csv").write_bytes(b"file,score\n\xff\xfe,1\n")
        with pytest.raises(UserError, match="not UTF-8"):
            scores.add_scores([row("a.png")], str(tmp_path / "s.csv"))
        with pytest.raises(UserError, match="no such file"):
            scores.add_scores([row("a.png")], str(tmp_path / "t.csv"))
        with pytest.raises(UserError, match="is not a file"):
            scores.add_scores([row("a.png")], str(tmp_path))


class TestJoining:
    """Through CSV files, which name pictures in every way."""

    def scored(self, tmp_path, rows, *names):
        lines = "".join(f"{name},{number}\n" for number, name in enumerate(names))
        (tmp_path / "s.csv").write_text("file,score\n" + lines)
        return [item.score for item in scores.add_scores(rows, str(tmp_path / "s.csv"))]

    def test_folders_decide_between_equal_file_names(self, tmp_path):
        rows = [row("/data/test/good/001.png"), row("/data/test/dent/001.png")]
        assert self.scored(tmp_path, rows, "dent/001.png", "good/001.png") == [1, 0]
        assert self.scored(tmp_path, rows, "elsewhere/dent/001", "b/good/001") == [1, 0]
        with pytest.raises(UserError, match=r"line 2 \(001\.png\) fits several pictures"):
            self.scored(tmp_path, rows, "001.png")

    def test_a_line_is_never_used_for_a_picture_it_fits_less(self, tmp_path):
        rows = [row("/data/test/good/001.png"), row("/data/test/dent/001.png")]
        with pytest.raises(UserError, match=r"nothing for 1 of 2 pictures, such as .*dent/001"):
            self.scored(tmp_path, rows, "good/001.png")

    def test_suffixes_decide_between_equal_stems_and_dots_belong_to_names(self, tmp_path):
        rows = [row("a.png"), row("a.jpg"), row("v1.2.png")]
        assert self.scored(tmp_path, rows, "a.jpg", "a.png", "v1.2") == [1, 0, 2]

    def test_files_of_equal_bytes_share_a_line_or_have_their_own(self, tmp_path):
        rows = [row("a.png", "same"), row("b/copy.png", "same")]
        assert self.scored(tmp_path, rows, "same") == [0, 0]
        assert self.scored(tmp_path, rows, "a.png", "copy.png") == [0, 1]


IMAGES = [
    {"id": 7, "file_name": "images/a.png", "width": WIDTH, "height": HEIGHT},
    {"id": 9, "file_name": "images/b.png", "width": WIDTH, "height": HEIGHT},
]
CLASSES = [{"id": 1, "name": "dent"}, {"id": 2, "name": "scratch"}]
ENTRY = {"image_id": 7, "category_id": 2, "bbox": [1.5, 2, 4, 3], "score": 0.1}


class TestCoco:
    def annotations(self, tmp_path, annotations=(), **changed):
        content = {
            "images": IMAGES,
            "categories": CLASSES,
            "annotations": list(annotations),
        }
        return write_json(tmp_path / "truth.json", content | changed)

    def test_boxes_are_joined_through_the_annotation_file(self, tmp_path):
        results = write_json(tmp_path / "r.json", [ENTRY, {**ENTRY, "score": 1}])
        rows = [row("/data/images/b.png"), row("/data/images/a.png")]
        b, a = coco.add_boxes(rows, results, self.annotations(tmp_path))
        assert b.predicted_boxes == ()
        assert a.predicted_boxes == (
            ResultBox(1.5, 2, 5.5, 5, "scratch", 0.1),
            ResultBox(1.5, 2, 5.5, 5, "scratch", 1.0),
        )

    def test_names_and_classes_can_stand_in_the_results_themselves(self, tmp_path):
        entry = {**ENTRY, "image_id": "a", "category_id": "dent"}
        (found, none) = coco.add_boxes(
            [row("x/a.png"), row("b.png")], write_json(tmp_path / "r.json", [entry])
        )
        assert found.predicted_boxes[0].label == "dent"
        assert none.predicted_boxes == ()
        lost = write_json(tmp_path / "r.json", [{**entry, "image_id": 12}])
        with pytest.raises(UserError, match=r"'12'\. Pass the COCO annotation file"):
            coco.add_boxes([row("a.png")], lost)
        numbered = write_json(tmp_path / "r.json", [ENTRY])
        with pytest.raises(UserError, match="entry 0: category_id 2 is a number"):
            coco.add_boxes([row("7.png")], numbered)

    def test_an_annotation_file_alone_is_truth(self, tmp_path):
        truth = self.annotations(tmp_path, [{**ENTRY, "id": 1, "iscrowd": 0}])
        a, b = coco.read_truth(truth, "steel")
        assert (a.sample_id, a.label, a.defective, a.width) == ("coco-7", "scratch", True, WIDTH)
        assert a.true_boxes == (ResultBox(1.5, 2, 5.5, 5, "scratch"),)
        assert (b.label, b.defective, b.true_boxes, b.defect_area) == ("good", False, (), 0)
        results = write_json(tmp_path / "r.json", [ENTRY])
        assert coco.add_boxes([a, b], results, truth)[0].predicted_boxes[0].score == 0.1
        crowd = {**ENTRY, "iscrowd": 1, "area": 5.5}
        (box,) = coco.read_truth(self.annotations(tmp_path, [crowd]), "steel")[0].true_boxes
        assert (box.crowd, box.area) == (True, 5.5)
        with pytest.raises(UserError, match="annotation 0: area is 'None'"):
            coco.read_truth(self.annotations(tmp_path, [{**ENTRY, "area": None}]), "steel")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"bbox": [1, 2, 3]}, r"r\.json entry 0 needs a bbox"),
            ({"bbox": [1, 2, -3, 4]}, "entry 0: bbox .* is not x, y, width and height"),
            ({"bbox": [1, 2, 1e300, 4]}, "entry 0: bbox"),
            ({"bbox": [1, 2, 10**400, 4]}, "entry 0: bbox is '1000"),
            ({"bbox": [1, 2, None, 4]}, "entry 0: bbox is 'None'"),
            ({"bbox": [0.1, 0.2, 0.3, 0.4]}, "shares of the picture"),
            ({"score": None}, "entry 0: score is 'None'"),
            ({"score": float("nan")}, "entry 0: score is 'nan'"),
            ({"score": True}, "entry 0: score is 'True'"),
            ({"image_id": 8}, r"entry 0: .*truth\.json lists no image with id 8"),
            ({"image_id": [7]}, "entry 0 needs a number or a text as image_id"),
            ({"category_id": 3}, "entry 0: .* lists no category with id 3"),
            ({"category_id": True}, "entry 0 needs a number or a text as category_id"),
        ],
    )
    def test_a_bad_entry_is_named(self, tmp_path, change, reason):
        results = write_json(tmp_path / "r.json", [ENTRY | change])
        rows = [row("images/a.png"), row("images/b.png")]
        with pytest.raises(UserError, match=reason):
            coco.add_boxes(rows, results, self.annotations(tmp_path))

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[", "not valid JSON"),
            ("[" * 100_000, "not valid JSON"),
            ("[" + "9" * 5000 + "]", "not valid JSON"),
            ('{"a": 1}', "COCO results have to be a list"),
            ("[1]", "COCO results have to be a list"),
        ],
    )
    def test_a_file_that_is_no_result_is_refused(self, tmp_path, text, reason):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(UserError, match=reason):
            coco.add_boxes([row("a.png")], str(tmp_path / "r.json"))

    def test_bad_annotation_files_are_refused(self, tmp_path):
        results, rows = write_json(tmp_path / "r.json", []), [row("images/a.png", true_boxes=())]
        for changed, reason in [
            ({"images": {}}, "images have to be a list"),
            ({"images": [{"id": 1}]}, "image 0 needs a file_name"),
            ({"images": IMAGES + IMAGES[:1]}, "image 2: id 7 is another image's"),
            ({"categories": [{"id": 1}]}, "category 0 needs a name"),
            ({"images": [IMAGES[0] | {"width": 40}]}, "listed as 40x12, images/a.png has"),
            ({"images": IMAGES[1:]}, "nothing for 1 of 1 pictures"),
        ]:
            with pytest.raises(UserError, match=reason):
                coco.add_boxes(rows, results, self.annotations(tmp_path, **changed))
        listed = self.annotations(tmp_path)
        (undrawn,) = coco.add_boxes([row("c.png")], results, listed)
        assert undrawn.predicted_boxes is None
        with pytest.raises(UserError, match="no 'images'"):
            coco.add_boxes(rows, results, results)


def test_a_gc10_results_file_made_elsewhere_is_evaluated_unchanged(tmp_path, shared_data):
    source = shared_data / "gc10-det-224" / "instances_test.json"
    truth = json.loads(source.read_text())
    rng = np.random.default_rng(0)
    entries = [
        {
            "image_id": item["image_id"],
            "category_id": item["category_id"],
            "bbox": np.abs(np.add(item["bbox"], rng.normal(0, 4, 4))).tolist(),
            "score": float(rng.random()),
        }
        for item in truth["annotations"]
    ]
    results = write_json(tmp_path / "r.json", entries)
    rows = coco.add_boxes(coco.read_truth(str(source), "gc10"), results, str(source))
    stored = list(from_table(to_table(rows, "r")))
    assert len(stored) == len(truth["images"])
    classes = {item["name"]: item["id"] for item in truth["categories"]}
    for item in stored:
        item_id = int(item.sample_id.removeprefix("coco-"))
        for sent, kept in (
            (truth["annotations"], item.true_boxes),
            (entries, item.predicted_boxes),
        ):
            mine = [entry for entry in sent if entry["image_id"] == item_id]
            assert [classes[box.label] for box in kept] == [e["category_id"] for e in mine]
            back = [[box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0] for box in kept]
            assert np.allclose(back, [entry["bbox"] for entry in mine], rtol=0, atol=1e-9)
    scores_ = [entry["score"] for entry in entries]
    kept = [box.score for item in stored for box in item.predicted_boxes]
    assert sorted(kept) == sorted(scores_)
