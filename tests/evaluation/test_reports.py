"""The HTML report: one file, everything from outside escaped, the right pictures shown."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from millsight.evaluation.metrics import BootstrapConfig, evaluate_maps
from millsight.evaluation.reports import (
    PredictedMask,
    ReportContent,
    ReportLimits,
    ReportPicture,
    render_report,
    write_report,
)
from millsight.evaluation.reports.overlay import ColorScale, outline_path
from millsight.evaluation.reports.score_plot import HEIGHT, WIDTH, plot_scores
from millsight.evaluation.reports.selection import choose_sections
from millsight.platform.errors import UserError

HOSTILE = [
    "<script>alert(1)</script>.png",
    '"><img src=x onerror=alert(2)>.jpg',
    "' onmouseover='alert(3)",
    "{{ 7 * 7 }}{% raw %}.png",
    "https://evil.example/x.png",
    "javascript:alert(4)",
    "line\nbreak\u202egpj.exe",
    "not-utf8-\udcff.png",
]


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether every element was closed."""

    VOID = ("meta", "img", "input", "br", "link")

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data + " "


def make_picture(score, label, uri="a.png", category="steel", **extra):
    picture = np.full((60, 80, 3), 90, dtype=np.uint8)
    grid = np.linspace(0, score, 16, dtype=np.float32).reshape(4, 4)
    return ReportPicture(uri, category, label, score, lambda: picture, grid, **extra)


def make_content(pictures, **extra):
    return ReportContent("Steel", {"encoder": "micro", "k": 4}, pictures, **extra)


def shown(page, section):
    """Scores of the cards of one section, in order."""
    part = page.split(f'<h2 id="{section}">')[1].split("<h2 ")[0]
    return [float(score) for score in re.findall(r'tags"><strong>([^<]*)<', part)]


def test_names_from_outside_are_escaped_everywhere(tmp_path):
    pictures = [
        make_picture(0.1 * i, i % 2 == 0, name, name, defect=name) for i, name in enumerate(HOSTILE)
    ]
    evaluation = evaluate_maps(
        [p.score for p in pictures],
        [p.label for p in pictures],
        [p.anomaly_map for p in pictures],
        [None] * len(pictures),
        categories=[p.category for p in pictures],
        bootstrap=BootstrapConfig(n_resamples=20),
    )
    content = ReportContent(
        HOSTILE[0],
        {HOSTILE[1]: HOSTILE[2], "nested": {HOSTILE[0]: [HOSTILE[1]]}},
        pictures,
        evaluation,
        [(name, name) for name in HOSTILE],
        HOSTILE,
    )
    path = tmp_path / "deep" / "report.html"
    write_report(path, content)
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
    assert HOSTILE[0] in page.text
    assert HOSTILE[1] in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "\\udcff" in page.text


def test_captions_name_the_file_and_the_folder_is_said_once(tmp_path):
    folder = "/data/line 4/a folder with a long name/"
    pictures = [
        make_picture(0.1, None, f"{folder}monday/1.png"),
        make_picture(0.2, None, f"{folder}tuesday/1.png"),
    ]
    write_report(tmp_path / "report.html", make_content(pictures))
    raw = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"<bdi>{folder}</bdi>" in raw
    assert "<bdi>monday/1.png</bdi>" in raw
    assert raw.count(folder) == 1

    apart = [make_picture(0.1, None, "mill.png"), make_picture(0.2, None, "/mill/1.png")]
    write_report(tmp_path / "report.html", make_content(apart))
    raw = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Files are in" not in raw
    assert "<bdi>/mill/1.png</bdi>" in raw


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    pictures = [make_picture(0.2, None, uri) for uri in HOSTILE]
    path = tmp_path / "report.html"
    write_report(path, make_content(pictures))
    raw = path.read_text(encoding="utf-8")
    page = Page(raw)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    for tag, attributes in page.tags:
        assert tag not in ("link", "script", "iframe", "object", "embed", "base")
        assert attributes.get("src", "data:").startswith("data:image/jpeg;base64,") or tag != "img"
        assert attributes.get("href", "#").startswith("#")
    style = raw.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in raw
    assert "prefers-color-scheme: dark" in style


def test_inner_links_lead_somewhere():
    content = make_content([make_picture(0.3, True), make_picture(0.1, False)])
    page = Page(render_report(content, ReportLimits()))
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"}
    assert links <= anchors
    assert {"misses", "alarms", "gallery"} <= links


def test_numbers_intervals_provenance_and_gaps_are_shown():
    pictures = [make_picture(0.1 * i, i > 3, category="steel") for i in range(8)]
    masks = [None] * 8
    masks[5] = np.zeros((60, 80), dtype=bool)
    evaluation = evaluate_maps(
        [p.score for p in pictures],
        [p.label for p in pictures],
        [p.anomaly_map for p in pictures],
        masks,
        categories=["steel"] * 8,
        bootstrap=BootstrapConfig(n_resamples=50),
    )
    content = make_content(
        pictures, evaluation=evaluation, quarantined=[("bad.png", "0 bytes")], warnings=["Mind me."]
    )
    text = " ".join(Page(render_report(content, ReportLimits())).text.split())
    assert "100.0" in text
    assert "100.0 to 100.0" in text
    assert "encoder micro k 4" in text
    assert "bad.png" in text
    assert "0 bytes" in text
    assert "Mind me." in text
    assert "steel: 3 left out of the pixel numbers" in text
    assert "steel: 1 labelled defective with an empty mask" in text
    assert "threshold 0.4" in text


def test_worst_come_first():
    pictures = [make_picture(s, True) for s in (0.9, 0.2, 0.5)]
    pictures += [make_picture(s, False) for s in (0.1, 0.8, 0.3)]
    page = render_report(make_content(pictures), ReportLimits(n_worst=2))
    assert shown(page, "misses") == [0.2, 0.5]
    assert shown(page, "alarms") == [0.8, 0.3]
    assert shown(page, "gallery") == [0.9, 0.8, 0.5, 0.3, 0.2, 0.1]


def test_without_labels_the_extremes_are_shown():
    pictures = [make_picture(s, None) for s in (0.4, 0.9, 0.1, 0.6)]
    page = render_report(make_content(pictures), ReportLimits(n_worst=2))
    assert shown(page, "most") == [0.9, 0.6]
    assert shown(page, "least") == [0.1, 0.4]
    assert 'id="misses"' not in page
    assert 'id="numbers"' not in page


def test_number_and_size_of_pictures_are_capped(tmp_path):
    rng = np.random.default_rng(0)
    loaded = []

    def load():
        loaded.append(1)
        return rng.integers(0, 255, (900, 1200, 3), dtype=np.uint8)

    pictures = [ReportPicture(f"{i}.png", "c", i % 2 == 0, i / 300, load) for i in range(300)]
    limits = ReportLimits(n_pictures=20, longest_side=64)
    path = tmp_path / "report.html"
    write_report(path, make_content(pictures), limits)
    assert len(loaded) == 20
    assert path.stat().st_size < 200_000
    uri = re.search(r'<img src="data:image/jpeg;base64,([^"]+)" alt="c', path.read_text())[1]
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(uri), np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (48, 64, 3)


def test_every_category_is_served():
    pictures = [make_picture(i / 10, True, category=c) for c in "ab" for i in range(5)]
    sections = choose_sections(pictures, ReportLimits(n_worst=2))
    assert [(p.category, p.score) for p in sections[0].pictures] == [
        ("a", 0.0),
        ("a", 0.1),
        ("b", 0.0),
        ("b", 0.1),
    ]


def test_a_vanished_picture_is_said_not_fatal():
    def gone():
        raise FileNotFoundError("no such file: <gone>.png")

    content = make_content([ReportPicture("gone.png", "c", None, 0.5, gone)])
    page = Page(render_report(content, ReportLimits()))
    assert "could not be read: no such file: <gone>.png" in page.text


def test_an_empty_run_still_reports():
    page = Page(render_report(make_content([]), ReportLimits()))
    assert page.open == []
    assert "0 pictures" in page.text


def test_a_failed_write_leaves_the_old_report(tmp_path):
    path = tmp_path / "report.html"
    write_report(path, make_content([]))
    before = path.read_bytes()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_report(tmp_path / "folder", make_content([]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "report.html"]
    assert path.read_bytes() == before


def test_boxes_and_outline_are_drawn_to_scale():
    mask = np.zeros((600, 800), dtype=bool)
    mask[100:300, 200] = True
    large = np.zeros((600, 800, 3), dtype=np.uint8)
    picture = ReportPicture(
        "a.png", "c", True, 0.5, lambda: large, mask=lambda: mask, boxes=[(200, 100, 400, 300)]
    )
    page = render_report(make_content([picture]), ReportLimits(longest_side=400))
    assert 'viewBox="0 0 400 300"' in page
    assert 'x="100.0" y="50.0" width="100.0" height="100.0"' in page
    assert outline_path(mask, (300, 400)) == "M100.5,50.5 100.5,149.5Z"
    assert outline_path(np.zeros((4, 4), dtype=bool), (4, 4)) == ""


def test_one_hot_pixel_does_not_set_the_scale():
    grids = [np.full((32, 32), 0.5, np.float32) for _ in range(8)]
    grids[0][:4] = 0.1
    grids[0][5, 5] = 100
    scale = ColorScale.of(grids)
    assert scale.high == pytest.approx(0.5)
    assert ColorScale.of([np.ones((2, 2))]).levels(np.ones((2, 2), np.float32)).dtype == np.uint8


def test_plot_covers_all_scores_and_places_the_threshold():
    plot = plot_scores("c", [0, 0.5, 1, 1], [False, False, True, None], 0.5)
    assert [(s.name, s.count) for s in plot.series] == [
        ("normal", 2),
        ("defective", 1),
        ("unlabelled", 1),
    ]
    assert plot.threshold_x == WIDTH / 2
    bars = [bar for series in plot.series for bar in series.bars]
    assert all(0 <= b.x <= WIDTH and b.y + b.height == pytest.approx(HEIGHT) for b in bars)
    assert plot_scores("c", [0.3], [None], None).series[0].count == 1


def test_decisions_come_before_scores_and_the_worst_loss_first():
    pictures = [
        replace(make_picture(score, label), verdict=verdict, loss=loss)
        for score, label, verdict, loss in (
            (0.2, True, "escape", 3.8),
            (0.4, True, "escape", 3.6),
            (0.7, False, "overkill", 2.7),
            (0.9, True, "caught", 0.3),
            (0.8, True, "caught", 0.6),
            (0.1, False, "passed", 0.0),
        )
    ]
    page = render_report(make_content(pictures), ReportLimits())
    assert shown(page, "misses") == [0.2, 0.4]
    assert shown(page, "alarms") == [0.7]
    assert shown(page, "worst") == [0.8, 0.9]
    assert "escape" in page


def test_without_scores_and_decisions_the_worst_boxes_are_shown():
    pictures = [replace(make_picture(0.5, True), score=None, loss=loss) for loss in (0.0, 0.5, 1)]
    sections = choose_sections(pictures, ReportLimits())
    assert [(part.anchor, [p.loss for p in part.pictures]) for part in sections] == [
        ("worst", [1, 0.5]),
        ("gallery", [1, 0.5, 0.0]),
    ]
    page = render_report(make_content(pictures), ReportLimits())
    assert "<strong>" not in page
    assert 'id="scores"' not in page


def test_predicted_masks_and_true_boxes_have_layers_of_their_own():
    mask = np.zeros((60, 80), dtype=bool)
    mask[10:20, 30:50] = True
    probability = np.where(mask, 0.9, 0.1).astype(np.float32)
    picture = replace(
        make_picture(0.5, True),
        anomaly_map=None,
        predicted=lambda: PredictedMask(mask, probability),
        true_boxes=[(30, 10, 50, 20)],
    )
    page = render_report(make_content([picture]), ReportLimits())
    assert 'class="predicted"' in page
    assert '<rect class="true-box"' in page
    assert 'class="heat"' in page
    layers = set(re.findall(r'id="show-([a-z-]+)"', page))
    assert layers == {"heat", "predicted", "true-boxes"}


def test_a_mask_that_vanished_is_said_not_fatal():
    def gone():
        raise UserError("mask <gone>.png: no such file.")

    page = Page(render_report(make_content([make_picture(0.5, True, mask=gone)]), ReportLimits()))
    assert "could not be read: mask <gone>.png" in page.text
