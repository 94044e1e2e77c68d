"""Pages are made of the floor's files and the room's: together they are whole."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

FLOOR = "millsight.platform.services"
ROOMS = ("millsight.evaluation.service", "millsight.generators.service")


def page_files(package: str) -> dict[str, str]:
    folder = Path(str(files(package))) / "page"
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_that_a_page_loads_is_there_once_and_here(room):
    floor, own = page_files(FLOOR), page_files(room)
    assert floor.keys().isdisjoint(own.keys()), "a room's file would hide one of the floor's"
    whole = floor | own
    for name, text in whole.items():
        wanted = re.findall(r'from "\./([^"]+)"', text) + re.findall(r'"/page/([^"]+)"', text)
        assert set(wanted) <= whole.keys(), name
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name


def test_the_floor_needs_no_room():
    floor = page_files(FLOOR)
    for name, text in floor.items():
        assert set(re.findall(r'from "\./([^"]+)"', text)) <= floor.keys(), name
