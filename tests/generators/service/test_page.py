"""The page in a real Chromium, against the real service: from a request to the zip."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from chromium import OVERFLOW, PROGRAM, Chromium, needs_chromium
from drawn_defects import CONFIG
from running_app import running

from millsight.generators.service.app import create_generation_app
from millsight.generators.service.config import (
    AdapterConfig,
    BaseConfig,
    CatalogConfig,
    ServeGenerationConfig,
)
from millsight.platform.services.database import Database
from millsight.platform.services.tokens import TokenStore

WANTED = 64
FORM = "document.querySelector('form.request')"
TILE = "document.querySelector('.tile img.here')"
STATE = "document.querySelector('.set-head .state')"
COUNTS = "[...document.querySelectorAll('.segments small')].map(one => Number(one.textContent))"
SELECTED = "document.querySelector('.tile[aria-selected=true]')"
VIEWED = "document.querySelector('.viewer .at').textContent"
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    real_steel: Path,
    generation_models: tuple[list[BaseConfig], list[AdapterConfig]],
) -> Iterator[tuple[str, str]]:
    """Address of a service, and a token for it."""
    bases, adapters = generation_models
    config = ServeGenerationConfig(
        folder=tmp_path_factory.mktemp("generation_page"),
        catalogs=[CatalogConfig(name="steel", data=str(real_steel))],
        bases=bases,
        adapters=adapters,
        filters=CONFIG,
        device="cpu",
        threads=1,
    )
    _, secret = TokenStore(Database(config.folder / "service.db")).create("me", ["read", "submit"])
    with running(create_generation_app(config)) as url:
        yield url, secret


@pytest.fixture(scope="module")
def browser(site: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A tab that is signed in."""
    assert PROGRAM is not None
    url, secret = site
    with Chromium(PROGRAM, tmp_path_factory.mktemp("chromium")) as tab:
        tab.screen(1280, 800)
        tab.open(f"{url}/#/new")
        tab.wait("document.activeElement.id === 'token'")
        tab.send("Input.insertText", text=secret)
        tab.press("Enter")
        tab.wait(FORM)
        yield tab


@pytest.fixture
def tab(browser: Chromium, site: tuple[str, str]) -> Iterator[Chromium]:
    """A page on a desk's screen; whatever a test does may say nothing to the console."""
    browser.errors.clear()
    browser.hosts.clear()
    browser.screen(1280, 800)
    yield browser
    assert browser.errors == []
    assert browser.hosts <= {site[0].removeprefix("http://")}


@pytest.fixture(scope="module")
def made(browser: Chromium, site: tuple[str, str]) -> str:
    """Hash of a set of 64 that was asked for by the form, and reloaded while it was made."""
    ask_for(browser, site[0], WANTED)
    browser.wait(TILE)
    place = str(browser.run("location.hash"))
    browser.open(f"{site[0]}/{place}", TILE)
    browser.wait(f"{STATE}.classList.contains('done')")
    # The last pictures come with the same answer as the state.
    browser.wait(f"{COUNTS}[1] === {WANTED}", 5)
    return place


def ask_for(tab: Chromium, url: str, count: int) -> None:
    """Fill in the form for copy-pasted scratches and send it."""
    tab.open(f"{url}/#/new", FORM)
    fill(tab, "label", "scratch")
    fill(tab, "count", str(count))
    tab.wait("document.querySelector('.cost b')")
    tab.run(f"{FORM}.requestSubmit()")
    tab.wait(f"location.hash.startsWith('#/sets/') && {STATE}")


def fill(tab: Chromium, name: str, value: str) -> None:
    tab.run(f"""(() => {{
      const field = document.getElementById("field-{name}");
      field.value = "{value}";
      for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind));
    }})()""")


def test_a_set_arrives_over_a_reload_and_goes_into_the_zip(tab, site, made, tmp_path):
    tab.open(f"{site[0]}/{made}?show=open", TILE)
    assert tab.run(COUNTS)[1] == WANTED
    tab.press("k", "r", "r", "u")
    assert tab.run(COUNTS)[1:4] == [WANTED - 2, 1, 1]
    tab.send("Page.navigate", url="about:blank")
    saved(site, made, kept=1, dropped=1)
    tab.open(f"{site[0]}/{made}", TILE)
    assert tab.run(COUNTS)[1:4] == [WANTED - 2, 1, 1], "decisions outlive the page"
    tab.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.run("document.querySelector('.set-head a.primary').click()")
    archive = landed(tmp_path)
    names = zipfile.ZipFile(archive).namelist()
    pictures = [name for name in names if name.endswith(".png") and "mask" not in name]
    assert len(pictures) == WANTED - 1
    assert any(name.endswith("README.md") for name in names)


def saved(site: tuple[str, str], made: str, **counts: int) -> None:
    """Wait until the service knows of so many decisions."""
    url, secret = site
    address = url + made.removeprefix("#").partition("?")[0]
    deadline = time.monotonic() + 30
    while True:
        found = httpx.get(address, headers={"Authorization": f"Bearer {secret}"}).json()
        if counts == {name: found[name] for name in counts}:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def landed(folder: Path) -> Path:
    deadline = time.monotonic() + 30
    while not (found := list(folder.glob("*.zip"))):
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.05)
    return found[0]


def test_a_cancelled_set_keeps_what_it_has(tab, site):
    ask_for(tab, site[0], 1000)
    tab.wait(TILE)
    tab.run("document.querySelector('.set-head .actions button').click()")
    tab.wait(f"{STATE}.classList.contains('cancelled')")
    tab.open(tab.run("location.href"), TILE)
    assert tab.run(f"{STATE}.textContent") == "Cancelled"
    assert 0 < tab.run(COUNTS)[0] < 1000


def test_the_large_view_by_keyboard_alone(tab, site, made):
    tab.open(f"{site[0]}/{made}?show=open", TILE)
    tab.press("1", "Enter")
    tab.wait("document.querySelector('.viewer .photo')?.naturalWidth")
    tab.wait("document.querySelector('.viewer .layer.mask')?.naturalWidth")
    tab.press("o")
    assert not tab.run("document.querySelector('.viewer .layer.mask')")
    tab.send("Input.dispatchKeyEvent", type="keyDown", key="b", text="b")
    tab.wait("document.querySelector('.viewer .layer.before')?.naturalWidth")
    assert tab.run("document.querySelectorAll('.viewer .layer, .viewer .marks g').length") == 1
    tab.send("Input.dispatchKeyEvent", type="keyUp", key="b")
    assert not tab.run("document.querySelector('.viewer .layer.before')")
    tab.press("o", "ArrowRight")
    assert tab.run(VIEWED).startswith("2 of")
    assert tab.run("document.querySelectorAll('.viewer .verdicts li').length") > 4
    tab.press("?")
    assert "Copy the recipe" in tab.run("document.querySelector('dialog.sheet').textContent")
    tab.press("?")
    tab.wait("!document.querySelector('dialog.sheet')")
    tab.press("c")
    tab.wait("document.querySelector('.toast')")
    assert "command line" in tab.run("document.querySelector('.toast').textContent")
    tab.press("Escape")
    tab.wait("!document.querySelector('.viewer')")
    assert tab.run(f"{SELECTED}.dataset.index") == "1"


def test_more_like_one_is_a_set_of_its_own(tab, site, made):
    tab.open(f"{site[0]}/{made}", TILE)
    tab.press("m")
    tab.wait("document.activeElement.id === 'more' && document.querySelector('dialog .cost')")
    tab.send("Input.insertText", text="2")
    tab.press("Enter")
    tab.wait("document.querySelector('.toast a')")
    tab.run("document.querySelector('.toast a').click()")
    tab.wait("document.querySelector('h1').textContent.includes('more like')")
    tab.wait(f"{STATE}.classList.contains('done')")
    assert tab.run("location.hash") != made


def test_what_is_wrong_is_said_at_its_field(tab, site):
    tab.open(f"{site[0]}/#/new", FORM)
    fill(tab, "count", "1001")
    tab.run(f"{FORM}.requestSubmit()")
    assert tab.run("document.activeElement.id") == "field-count"
    assert tab.run("document.getElementById('wrong-count').textContent") == "At most 1000."
    tab.run("document.getElementById('mode-inpaint').click()")
    fill(tab, "count", "2")
    fill(tab, "prompt", "no class in it")
    tab.wait("document.getElementById('wrong-prompt').textContent.includes('{defect}')")
    assert tab.run("document.querySelector('option[value=poisoned]').disabled")
    assert "pickle" in tab.run("document.querySelector('.problem').textContent")
    # Chromium notes every answer of 400 and above.
    tab.errors.clear()


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(tab, site, made, dark):
    tab.screen(390, 844, dark=dark, phone=True)
    for place in ("#/", "#/new", made, f"{made}?at=3&open=1"):
        tab.open(f"{site[0]}/{place}")
        assert tab.run(OVERFLOW) <= 0, place
