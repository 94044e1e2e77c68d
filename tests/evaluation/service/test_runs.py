"""Runs as they are listed, shown, ranked and compared."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from evaluation_sets import BOX, HEIGHT, WIDTH

from millsight.evaluation.metrics import BootstrapConfig
from millsight.evaluation.results import read_table
from millsight.evaluation.results.evaluating import compare_results, evaluate_results


def get(filled, path: str, **query):
    answer = filled.client.get(path, params=query, headers=filled.reader)
    assert answer.status_code == 200, answer.text
    return answer


def pages(filled, path: str, **query) -> list[dict]:
    items, cursor = [], {}
    while True:
        page = get(filled, path, **query, **cursor).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


def test_datasets(filled):
    found = {item["id"]: item for item in get(filled, "/datasets").json()["items"]}
    assert list(found) == ["open", "hidden", "twin"]
    assert found["open"] == get(filled, "/datasets/open").json()
    assert found["open"]["tasks"] == ["samples", "masks", "boxes", "classes"]
    assert found["open"]["classes"] == ["good", "pit", "scratch"]
    assert (found["open"]["n_pictures"], found["open"]["n_runs"]) == (24, 5)
    assert (found["open"]["truth_visible"], found["hidden"]["truth_visible"]) == (True, False)


def test_pictures_to_predict(filled):
    items = pages(filled, "/datasets/open/pictures", limit=7)
    assert len({item["sample_id"] for item in items}) == 24
    assert items[0]["file"].split("/")[0] in {"good", "pit", "scratch"}
    assert {(item["width"], item["height"]) for item in items} == {(WIDTH, HEIGHT)}
    hidden = pages(filled, "/datasets/hidden/pictures", limit=200)
    assert [item["file"] for item in hidden] == [f"{item['sample_id']}.png" for item in hidden]


def test_runs_are_listed_newest_first(filled):
    items = pages(filled, "/runs", limit=2)
    assert [item["created"] for item in items] == sorted(
        (i["created"] for i in items), reverse=True
    )
    assert {item["id"] for item in items} == set(filled.runs.values())
    assert {item["owner"] for item in items} == {"model team"}
    only = pages(filled, "/runs", dataset="hidden")
    assert {item["dataset"] for item in only} == {"hidden"}
    assert pages(filled, "/runs", dataset="none") == []


def test_a_run_in_full(filled):
    run = get(filled, f"/runs/{filled.runs['open/wrong']}").json()
    assert list(run["evaluation"]) == run["tasks"] == ["maps", "samples", "boxes", "classes"]
    assert {curve["name"] for curve in run["curves"]} >= {"roc", "box_precision_recall"}
    assert run["provenance"]["files"] == ["detections.json", "scores.csv", "masks"]
    assert run["warnings"] == []
    warned = get(filled, f"/runs/{filled.runs['open/scores']}").json()["warnings"]
    assert warned == ["Every picture is called good: is the threshold right?"]


def test_orders_of_a_runs_pictures(filled):
    path = f"/runs/{filled.runs['open/wrong']}/pictures"
    worst = pages(filled, path, order="worst", limit=5)
    losses = [item["loss"] for item in worst]
    assert len(worst) == 24
    assert losses == sorted(losses, reverse=True)
    falling = [item["score"] for item in pages(filled, path, order="-score", limit=5)]
    rising = [item["score"] for item in pages(filled, path, order="score", limit=5)]
    assert falling == sorted(falling, reverse=True)
    assert rising == falling[::-1]
    wrong = {item["verdict"] for item in worst[:4]}
    assert wrong <= {"escape", "overkill"}
    for order, verdict in (("escapes", "escape"), ("overkills", "overkill")):
        items = pages(filled, path, order=order, limit=1)
        assert {item["verdict"] for item in items} <= {verdict}
        assert len(items) == sum(item["verdict"] == verdict for item in worst)
        assert get(filled, path, order=order).json()["total"] == len(items)


def test_overlays(filled):
    run = filled.runs["open/right"]
    items = pages(filled, f"/runs/{run}/pictures")
    sample = next(item for item in items if item["label"] == "pit")
    path = f"/runs/{run}/pictures/{sample['sample_id']}/overlay"
    x0, y0, x1, y1 = BOX
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[y0:y1, x0:x1] = True
    for layer in ("prediction", "truth", "map"):
        answer = get(filled, path, layer=layer)
        values = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert values.shape == (HEIGHT, WIDTH, 4)
        assert ((values[..., 3] > 0) == inside).all(), layer
    tag = answer.headers["etag"]
    assert answer.headers["cache-control"].startswith("private")
    again = filled.client.get(
        path, params={"layer": "map"}, headers={**filled.reader, "If-None-Match": tag}
    )
    assert (again.status_code, again.content) == (304, b"")
    no_mask = f"/runs/{filled.runs['open/boxes']}/pictures/{sample['sample_id']}/overlay"
    missing = filled.client.get(no_mask, params={"layer": "map"}, headers=filled.reader)
    assert missing.status_code == 404


def test_thumbnails_are_kept(filled):
    sample = pages(filled, "/datasets/open/pictures")[0]["sample_id"]
    path = f"/datasets/open/pictures/{sample}"
    first, again = (get(filled, path, size="thumbnail").content for _ in range(2))
    assert first == again
    assert list((filled.folder / "thumbnails").rglob(f"{sample}.jpg"))
    full = cv2.imdecode(np.frombuffer(get(filled, path).content, np.uint8), cv2.IMREAD_COLOR)
    assert full.shape == (HEIGHT, WIDTH, 3)


def test_leaderboard(filled):
    board = get(filled, "/leaderboard", dataset="open").json()
    assert board["metric"] == "sample_f1"
    names = [row["run"]["name"] for row in board["rows"]]
    assert names[0] == "right"
    assert [row["rank"] for row in board["rows"]] == sorted(row["rank"] for row in board["rows"])
    assert board["rows"][0]["behind"] is None
    behind = board["rows"][names.index("wrong")]["behind"]
    assert behind["value"] < 0
    assert behind["low"] <= behind["value"] <= behind["high"]
    board = get(filled, "/leaderboard", dataset="open", metric="escape_rate").json()
    values = [row["estimate"]["value"] for row in board["rows"]]
    assert values == sorted(values)
    kinds = {item["name"]: item["higher_is_better"] for item in board["metrics"]}
    assert (kinds["escape_rate"], kinds["map_50"]) == (False, True)
    query = {"dataset": "open", "metric": "beauty"}
    assert filled.client.get("/leaderboard", params=query, headers=filled.reader).status_code == 404


def test_comparison_is_that_of_the_tables(filled):
    """What was stored gives the numbers that judging both tables again gives."""
    names = ("open/right", "open/wrong")
    first, second = (filled.runs[name] for name in names)
    found = get(filled, "/compare", first=first, second=second).json()
    judged = [
        evaluate_results(
            read_table(filled.folder / "runs" / run / "results.parquet"),
            bootstrap=BootstrapConfig(40),
        )
        for run in (first, second)
    ]
    expected = {
        task: {
            row: {name: gap.to_dict() for name, gap in gaps.items()} for row, gaps in rows.items()
        }
        for task, rows in compare_results(*judged).items()
    }
    assert found["differences"] == expected
    counts = found["pictures"]
    assert sum(counts.values()) == 24
    assert (counts["only_second_right"], counts["both_wrong"]) == (0, 0)
    query = {"first": first, "second": second, "kind": "only_first_right", "limit": 2}
    pairs = pages(filled, "/compare/pictures", **query)
    assert len(pairs) == counts["only_first_right"] > 2
    for pair in pairs:
        assert pair["first"]["sample_id"] == pair["second"]["sample_id"]
        assert pair["first"]["verdict"] in {"caught", "passed"}
        assert pair["second"]["verdict"] in {"escape", "overkill"}


def test_comparing_what_cannot_be_compared(filled):
    first, other = filled.runs["open/right"], filled.runs["hidden/first"]
    answer = filled.client.get(
        "/compare", params={"first": first, "second": other}, headers=filled.reader
    )
    assert answer.status_code == 422
    query = {"first": first, "second": "0" * 32}
    assert filled.client.get("/compare", params=query, headers=filled.reader).status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/odd", 422),
        (f"/runs/{'0' * 32}", 404),
        (f"/runs/{'0' * 32}/pictures", 404),
        ("/runs?cursor=x", 422),
        ("/runs?limit=0", 422),
        ("/runs?colour=red", 422),
        ("/datasets/none", 404),
        ("/datasets/..%2f..%2fetc", 404),
        (f"/datasets/open/pictures/{'0' * 32}", 404),
        ("/datasets/open/pictures?cursor=Wy01XQ", 200),
        ("/datasets/open/pictures?cursor=Wzk5OTk5OTk5OTldCg", 200),
        ("/leaderboard?dataset=none", 404),
        ("/compare?first=x&second=y", 422),
        ("/page/..%2fapp.py", 404),
        ("/page/app.py", 404),
    ],
)
def test_addresses_that_lead_nowhere(filled, path, status):
    answer = filled.client.get(path, headers=filled.reader)
    assert answer.status_code == status, answer.text


def test_me(filled):
    me = filled.client.get("/me", headers=filled.submitter).json()
    assert me == {"name": "model team", "scopes": ["read", "submit"], "open_access": False}


def test_ready_and_metrics(filled):
    assert get(filled, "/readyz").json() == {"status": "ready"}
    assert 'route="/runs/{run}"' in get(filled, "/metrics").text
