"""The page in a real Chromium, against the real service: by keyboard, on a phone, in the dark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from chromium import OVERFLOW, PROGRAM, Chromium, needs_chromium
from evaluation_sets import full_zip, make_dataset, samples_of, scores_csv
from running_app import running

from millsight.evaluation.service.config import DatasetConfig, ServeEvaluationConfig
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.sample import Sample

N_MANY = 10_000
ZIP = {"Content-Type": "application/zip"}
CSV = {"Content-Type": "text/csv"}
NODES = "document.querySelectorAll('*').length"
SELECTED = "document.querySelector('.tile[aria-selected=true]')"
pytestmark = needs_chromium


def serving(config: ServeEvaluationConfig) -> AbstractContextManager[str]:
    """Serve on a port of this machine and give the address."""
    from millsight.evaluation.service.app import create_evaluation_app

    return running(create_evaluation_app(config))


@dataclass(frozen=True)
class Site:
    """A running service: its address and the judged runs."""

    url: str
    right: str
    wrong: str
    many: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("page")
    small = make_dataset(folder / "data", "small")
    many = many_pictures(folder / "data", small)
    config = ServeEvaluationConfig(
        folder=folder / "service", datasets=[small, many], resamples=20, workers=2
    )
    with serving(config) as url:
        yield fill(url, small, many)


def many_pictures(folder: Path, small: DatasetConfig) -> DatasetConfig:
    """10,000 pictures that share the files of a small dataset."""
    files = [sample for sample in samples_of(small) if sample.label == "good"]
    samples = tuple(
        Sample(
            id=f"{number:032x}",
            uri=files[number % len(files)].uri,
            category="plate",
            split="test",
            label="pit" if number % 5 == 0 else "good",
            width=files[0].width,
            height=files[0].height,
        )
        for number in range(N_MANY)
    )
    catalog = folder / "many.parquet"
    Catalog(samples, uri=str(folder), layout="test").write(catalog)
    return DatasetConfig(name="many", data=str(catalog), split="test", labels="open")


def fill(url: str, small: DatasetConfig, many: DatasetConfig) -> Site:
    scores = [(f"{number:032x}", number * 7919 % N_MANY / N_MANY) for number in range(N_MANY)]
    bodies: dict[str, Any] = {
        "right": ("small", full_zip(small), ZIP),
        "wrong": ("small", full_zip(small, [0, 1, 2, 3]), ZIP),
        "many": ("many", scores_csv(scores), CSV),
    }
    jobs = {}
    for name, (dataset, body, kind) in bodies.items():
        query = {"name": name}
        answer = httpx.post(
            f"{url}/datasets/{dataset}/runs", params=query, content=body, headers=kind
        )
        assert answer.status_code == 202, answer.text
        jobs[name] = answer.json()["id"]
    for name, job in jobs.items():
        deadline = time.monotonic() + 60
        while (found := httpx.get(f"{url}/jobs/{job}").json())["state"] != "done":
            assert found["state"] != "failed", found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        jobs[name] = found["result"]["run"]
    return Site(url, **jobs)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    assert PROGRAM is not None
    with Chromium(PROGRAM, tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture
def tab(browser: Chromium, site: Site) -> Iterator[Chromium]:
    """A fresh page on a desk's screen; whatever a test does may say nothing to the console."""
    browser.errors.clear()
    browser.hosts.clear()
    browser.screen(1280, 800)
    yield browser
    assert browser.errors == []
    assert browser.hosts <= {site.url.removeprefix("http://")}


def test_from_the_leaderboard_to_a_picture_by_keyboard_alone(tab, site):
    tab.open(f"{site.url}/#/")
    tab.press("j", "Enter")
    tab.wait("document.querySelector('.board .name')")
    assert tab.run("document.querySelector('h1').textContent") == "small"
    assert tab.run("document.querySelectorAll('.board .interval .spread').length") == 2
    tab.press("j", "Enter")
    tab.wait("document.querySelector('.headline')")
    assert tab.run("location.hash") == f"#/runs/{site.right}"
    assert tab.run("document.querySelectorAll('.curve polyline').length") > 2
    tab.press("v")
    tab.wait(f"{SELECTED} && {SELECTED}.querySelector('img.here')")
    tab.press("p")
    tab.wait("document.querySelector('.tile .layer.prediction.here')")
    tab.press("0")
    assert tab.run("document.querySelectorAll('.tile .layer').length") == 0
    tab.press("j", "ArrowRight", "k", "Enter")
    tab.wait("document.querySelector('.viewer .photo')?.naturalWidth")
    assert tab.run("document.querySelector('.viewer .at').textContent").startswith("2 of 24")
    tab.press("ArrowRight", "0")
    assert tab.run("document.querySelectorAll('.viewer .layer').length") == 0
    tab.press("p")
    tab.wait("document.querySelector('.viewer .layer.prediction')?.naturalWidth")
    tab.press("m", "b", "+")
    tab.wait("document.querySelector('.viewer .layer.map')?.naturalWidth")
    tab.press("Escape")
    tab.wait("!document.querySelector('.viewer')")
    assert tab.run(f"{SELECTED}.dataset.index") == "2", "it comes back to the picture it was at"
    tab.press("u")
    tab.wait("document.querySelector('.headline')")


def test_the_sheet_of_keys_opens_and_closes(tab, site):
    tab.open(f"{site.url}/#/runs/{site.right}/gallery")
    tab.press("?")
    assert "Open the picture" in tab.run("document.querySelector('dialog').textContent")
    tab.press("?")
    assert not tab.run("document.querySelector('dialog')")


def test_two_runs_are_picked_and_compared(tab, site):
    tab.open(f"{site.url}/#/datasets/small?metric=accuracy")
    tab.press("j", "x", "j", "x", "c")
    tab.wait("document.querySelector('.pair img.here')")
    assert tab.run("location.hash") == f"#/compare/{site.right}/{site.wrong}"
    counts = tab.run("[...document.querySelectorAll('#pictures li b')].map(b => b.textContent)")
    assert counts == ["20", "4", "0", "0"]
    assert tab.run("document.querySelector('.tag.for-a').textContent") == "A better"
    tab.press("j", "Enter")
    tab.wait("document.querySelector('.viewer .photo')?.naturalWidth")
    first = tab.run("document.querySelector('.viewer .facts').textContent")
    tab.press("x")
    assert tab.run("document.querySelector('.viewer .facts').textContent") != first


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(tab, site, dark):
    tab.screen(390, 844, dark=dark, phone=True)
    runs = (
        f"runs/{site.right}",
        f"runs/{site.right}/gallery",
        f"compare/{site.right}/{site.wrong}",
    )
    for place in ("", "datasets/small", *runs, "jobs", "submit"):
        tab.open(f"{site.url}/#/{place}")
        assert tab.run(OVERFLOW) <= 0, place
    paper = tab.run("getComputedStyle(document.body).backgroundColor")
    assert (max(int(part) for part in paper[4:-1].split(",")) < 60) is dark


def test_a_choice_of_colours_outlives_the_page(tab, site):
    tab.open(f"{site.url}/#/jobs")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = tab.run(paper)
    tab.run("document.getElementById('theme').click()")
    tab.open(f"{site.url}/#/jobs")
    assert tab.run(paper) != light
    tab.run("localStorage.clear()")


def test_ten_thousand_pictures_stay_fast(tab, site):
    tab.open(f"{site.url}/#/runs/{site.many}/gallery?order=-score")
    tab.wait("document.querySelector('.tile img.here')")
    before = tab.effort()
    found = tab.run(SCROLL)
    assert found["height"] > 100_000
    assert found["nodes"] < 700, found
    assert (tab.effort() - before) / STEPS < 0.016, "a screenful of new rows fits into a frame"
    tab.press("End")
    tab.wait(f"{SELECTED}?.dataset.index === '9999' && {SELECTED}.dataset.filled")
    assert tab.run(NODES) < 700
    tab.press("Home", "j")
    assert tab.run(f"{SELECTED}.dataset.index") == "1"


STEPS = 120
SCROLL = f"""(async () => {{
  const height = document.documentElement.scrollHeight;
  let nodes = 0;
  for (let step = 0; step < {STEPS}; step += 1) {{
    window.scrollTo(0, step * height / {STEPS});
    await new Promise(requestAnimationFrame);
    nodes = Math.max(nodes, document.querySelectorAll("*").length);
  }}
  return {{ height, nodes }};
}})()"""


def test_what_a_person_drops_is_judged(tab, site):
    """A loose file becomes a job, its progress is followed, and its run is shown."""
    tab.open(f"{site.url}/#/submit?dataset=small")
    tab.run(DROP)
    tab.press("Tab")
    tab.run("document.querySelector('form.submit').requestSubmit()")
    tab.wait("location.hash.startsWith('#/runs/') && document.querySelector('.headline')", 60)
    assert tab.run("document.querySelector('h1').textContent") == "found"


DROP = """(() => {
  const files = new DataTransfer();
  files.items.add(new File(["[]"], "found.json"));
  const picker = document.getElementById("files");
  picker.files = files.files;
  picker.dispatchEvent(new Event("change"));
})()"""


def test_problems_are_sentences(tab, site):
    tab.open(f"{site.url}/#/runs/{'0' * 32}")
    assert "There is no run of this id." in tab.run("document.querySelector('main').textContent")
    # Chromium notes every answer of 400 and above.
    tab.errors.clear()


def test_a_token_is_asked_for_and_kept(browser, tmp_path):
    from millsight.platform.services.database import Database
    from millsight.platform.services.tokens import TokenStore

    dataset = make_dataset(tmp_path / "data", "secret", n=3, labels="hidden")
    config = ServeEvaluationConfig(folder=tmp_path / "service", datasets=[dataset])
    store = TokenStore(Database(config.folder / "service.db"))
    _, secret = store.create("looker", ["read"])
    with serving(config) as url:
        browser.screen(390, 844, phone=True)
        browser.open(f"{url}/#/datasets/secret")
        for text in ("nonsense", secret):
            browser.wait("document.activeElement.id === 'token'")
            browser.send("Input.insertText", text=text)
            browser.press("Enter")
            browser.wait("!document.querySelector('dialog .primary:disabled')")
        browser.wait("document.querySelector('h1').textContent === 'secret'")
        assert "stay on the server" in browser.run("document.querySelector('main').textContent")
        browser.open(f"{url}/#/submit")
        assert "for reading" in browser.run("document.querySelector('main').textContent")
        browser.run("document.getElementById('who').click()")
        browser.wait("document.activeElement.id === 'token'")
    browser.errors.clear()
