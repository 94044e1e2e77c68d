from __future__ import annotations

import logging
from pathlib import Path

import pytest
from open_clip.tokenizer import SimpleTokenizer

from millsight.platform.errors import UserError
from millsight.pretraining.kead.prompt_sets import (
    GENERIC,
    PromptSet,
    make_phrases,
    packaged_prompts,
    parse_prompts,
    prompts_for,
)
from millsight.pretraining.kead.text import TEMPLATES

PACKAGED = {
    "casting_billet",
    "cast_steel",
    "gc10",
    "generic_metal",
    "ground_steel",
    "kolektor",
    "magnetic_tile",
    "neu",
    "rolled_steel",
    "steel_pipe",
    "x_sdd",
}


def test_packaged_sets_are_there_and_fit_into_clip_s_context() -> None:
    sets = packaged_prompts()
    assert sets.keys() == PACKAGED
    tokenizer = SimpleTokenizer()
    longest = max(TEMPLATES, key=len)
    for prompts in sets.values():
        assert len(prompts.defects) >= 3
        assert prompts.good
        phrases = make_phrases(prompts)
        for phrase in (*phrases.normal, *phrases.anomalous):
            assert len(tokenizer.encode(longest.format(phrase))) <= 75, phrase


def test_no_alias_is_claimed_twice() -> None:
    names = [name for s in packaged_prompts().values() for name in {s.category, *s.aliases}]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("category", "expected"),
    [("gc10", "gc10"), ("X-SDD", "x_sdd"), ("Kolektor SDD", "kolektor"), ("NEU-DET", "neu")],
)
def test_category_or_alias_chooses_the_set(category: str, expected: str) -> None:
    assert prompts_for(category).category == expected


def test_unknown_category_gets_the_generic_set_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert prompts_for("brass_ring").category == GENERIC
    assert "brass_ring" in caplog.text


def test_a_file_is_taken_whatever_the_category(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("category: Brass Ring\nobject: brass ring\ndefects: {dent: a hollow}\n")
    assert prompts_for("steel_pipe", str(path)).category == "brass_ring"
    with pytest.raises(UserError, match="--prompts"):
        prompts_for("steel_pipe", str(tmp_path / "absent.yaml"))


def test_phrases() -> None:
    prompts = PromptSet(
        category="pipe", object="steel pipe", good=("shiny {}",), defects={"pit": "small holes"}
    )
    phrases = make_phrases(prompts)
    assert phrases.normal == (
        "steel pipe",
        "flawless steel pipe",
        "perfect steel pipe",
        "unblemished steel pipe",
        "shiny steel pipe",
    )
    assert phrases.anomalous == (
        "damaged steel pipe",
        "steel pipe with flaw",
        "steel pipe with defect",
        "steel pipe with damage",
        "steel pipe with pit defect, it appears as small holes",
    )
    generic = make_phrases(prompts, "generic")
    assert (generic.normal, generic.anomalous) == (phrases.normal[:4], phrases.anomalous[:4])


def test_every_problem_is_named_at_once() -> None:
    text = "category: a\nobjct: b\ngood: [no place]\ndefects: {pit: 'a {hole}'}\n"
    with pytest.raises(UserError) as caught:
        parse_prompts(text, "mine.yaml")
    message = str(caught.value)
    assert "mine.yaml" in message
    assert "objct: no such key; the nearest is object" in message
    assert "'no place' needs one {}" in message
    assert "'a {hole}'" in message
    assert "object: Field required" in message


@pytest.mark.parametrize("text", ["- a\n", "", "a: [", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_prompt_file_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"mine\.yaml"):
        parse_prompts(text, "mine.yaml")
