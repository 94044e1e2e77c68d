"""A card's lineage leads from boxes to maps to prompts and pictures."""

from __future__ import annotations

from pathlib import Path

from millsight.platform.artifacts import Artifact, drafting
from millsight.platform.fingerprints import Input, Recipe
from millsight.pretraining.model_card import lineage, number_table

PROMPTS = {"prompts": {"category": "pipe", "object": "steel pipe", "defects": {}}}
KEAD = {"encoder": "embedded:micro-clip", "k": 2, "sentences": "defects"}


def make(path: Path, recipe: Recipe, metrics: dict[str, int]) -> Artifact:
    with drafting(path, recipe) as draft:
        return draft.commit(metrics)


def test_lineage_is_followed_to_the_pictures(tmp_path: Path) -> None:
    config = {"kead": KEAD, "categories": {"pipe": PROMPTS, "sheet": {"prompts": None}}}
    pictures = {"data": Input("p" * 64, "pictures")}
    maps = make(
        tmp_path / "maps",
        Recipe("maps", 1, config, pictures, {"encoder": "e" * 64}),
        {"pictures": 30, "quarantined": 1},
    )
    boxes = make(
        tmp_path / "boxes",
        Recipe("pseudo_boxes", 1, {}, {"maps": maps.as_input()}),
        {"pictures": 30, "boxes": 41},
    )
    first, second, third = lineage({"boxes_0": boxes.as_input()}).splitlines()
    assert first == (
        f"- boxes_0: pseudo_boxes `{boxes.fingerprint[:12]}`, `{tmp_path}/boxes`; 41 boxes; "
        "30 pictures"
    )
    assert second == (
        f"  - maps: maps `{maps.fingerprint[:12]}`, `{tmp_path}/maps`; 30 pictures; encoder "
        "weights `eeeeeeeeeeee`; encoder `embedded:micro-clip`, k = 2; "
        "`defects` prompts for steel pipe"
    )
    assert third == "    - data: `pppppppppppp`, `pictures`"


def test_what_was_made_again_or_moved_is_named_and_not_followed(tmp_path: Path) -> None:
    old = Input("a" * 64, str(tmp_path / "maps"))
    make(tmp_path / "maps", Recipe("maps", 1, {}, {"data": Input("p" * 64)}), {})
    moved = Input("b" * 64, "s3-that-was/maps")
    found = lineage({"maps_0": old, "maps_1": moved}).splitlines()
    assert found == [
        f"- maps_0: `aaaaaaaaaaaa`, `{tmp_path}/maps`",
        "- maps_1: `bbbbbbbbbbbb`, `s3-that-was/maps`",
    ]


def test_numbers_become_a_table() -> None:
    assert number_table({"boxes": 3, "files": ["a", "b"]}).splitlines() == [
        "| number | value |",
        "|---|---|",
        "| boxes | 3 |",
        "| files | ['a', 'b'] |",
    ]
