"""What the captions say, without drawing a picture where none is needed."""

import re
import sys

import numpy as np
import pytest

from millsight.generators.procedural import DEFECTS, SURFACES, render
from millsight.generators.procedural.captions import (
    _wording,
    defect_captions,
    facts_of,
    good_captions,
    template_sentence,
    views_of,
)
from millsight.pretraining.kead.prompt_sets import make_phrases, packaged_prompts

CONTRASTS = {"dark": -30.0, "bright": 50.0, "neutral": 0.0}
KINDS = [
    {"Direction": "none", "Number of Defects": "one", "Scale": "tiny"},
    {"Direction": "vertical", "Number of Defects": "multiple", "Scale": "large"},
    {"Direction": "diagonal", "Number of Defects": "two", "Scale": "small"},
]


def fields(label: str, **changed: str) -> dict[str, object]:
    return {
        "Defect type": label,
        "Shape": "irregular",
        "Direction": "none",
        "Spatial Distribution": "isolated",
        "Number of Defects": "one",
        "Position": [("center", 1.0)],
        "Scale": "small",
        "Polarity": "dark",
        "Saliency": "high",
        **changed,
    }


def words_of(sentences) -> set[str]:
    return {word for text in sentences for word in re.findall(r"[a-z]+", text.lower())}


def sentences_about(label: str, contrast: float, *, draws: int, surface="rolled", **changed: str):
    attributes = fields(label, **changed)
    for seed in range(draws):
        yield from defect_captions(np.random.default_rng(seed), surface, attributes, contrast)


@pytest.fixture(scope="module")
def vocabulary() -> set[str]:
    """Words that the steel which is really drawn can get; some facts never meet in a picture."""
    drawn: list[tuple[object, ...]] = []

    def note(rng: np.random.Generator, *facts: object) -> tuple[str, ...]:
        drawn.append(facts)
        return ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[render.__module__], "defect_captions", note)
        for label in DEFECTS:
            for seed in range(24):
                render(seed, size=(64, 64), defect=label)
    words = set()
    for seed in range(200):
        for surface in SURFACES:
            words |= words_of(good_captions(np.random.default_rng(seed), surface))
        if seed < 25:
            for facts in drawn:
                words |= words_of(defect_captions(np.random.default_rng(seed), *facts))
    return words


@pytest.mark.parametrize("category", sorted(packaged_prompts()))
def test_captions_use_every_word_of_a_packaged_prompt_set(vocabulary, category):
    phrases = make_phrases(packaged_prompts()[category])
    missing = words_of((*phrases.normal, *phrases.anomalous)) - vocabulary
    assert not missing, "give wording.yaml sentences that use them"


def test_captions_start_with_the_plainest_and_end_with_the_nine_fields():
    damaged = render(2, size=(64, 64), surface="ground", defect="roll_mark")
    assert damaged.captions[0] == "a photo of a ground steel surface with roll mark defect"
    assert damaged.captions[-1] == template_sentence(damaged.attributes)
    assert len(damaged.captions) == 9
    good = render(2, size=(64, 64), surface="ground", defect="good")
    assert good.captions[0] == "a photo of a flawless ground steel surface"
    assert len(good.captions) == 6


def test_the_nine_fields_sentence_is_exact():
    attributes = fields("oil_spot", Direction="vertical", Shape="elongated")
    attributes["Position"] = [("center", 0.6), ("top-left", 0.4)]
    assert template_sentence(attributes) == (
        "small dark oil spot of elongated shape running in vertical direction, isolated, "
        "number one, at center and top-left, high saliency"
    )


@pytest.mark.parametrize("label", DEFECTS)
def test_a_look_is_said_only_where_its_facts_hold(label):
    looks = _wording()["defects"][label]["looks"]
    everywhere = "\n".join(
        look for needed in ("always", "bright") for look in looks.get(needed, [])
    )
    bright = "\n".join(sentences_about(label, 50.0, draws=60))
    dark = "\n".join(sentences_about(label, -30.0, draws=60))
    for look in looks.get("dark", []):
        assert f"appears as {look}" in dark
        assert look in everywhere or f"appears as {look}" not in bright
    # One defect of its kind has no plural.
    assert not words_of([dark]) & {"scratches", "pits", "blowholes"}


@pytest.mark.parametrize("part", ["names", "looks", "likes"])
def test_every_condition_is_a_fact_that_some_picture_has(part):
    facts: set[str] = set()
    for contrast in (*CONTRASTS.values(), 7.0):
        for kind in KINDS:
            for surface in SURFACES:
                facts |= facts_of(fields("scratch", **kind), surface, contrast)
    facts |= {"clustered", "scattered", "horizontal"}
    for label in DEFECTS:
        group = _wording()["defects"][label][part]
        assert set(" ".join(group).split()) <= facts, label
        assert part == "looks" or "always" in group, label


def test_facts_follow_the_fields():
    attributes = fields("pit", Direction="vertical", Scale="extensive")
    attributes["Number of Defects"] = "multiple"
    assert facts_of(attributes, "cast", -50.0) == {
        "always", "cast", "dark", "isolated", "several", "many", "large", "clear", "long",
        "vertical",
    }  # fmt: skip
    assert facts_of(fields("pit", Scale="medium"), "rolled", 2.0) == {
        "always", "rolled", "neutral", "isolated", "one", "medium", "faint",
    }  # fmt: skip


def test_good_steel_is_never_called_damaged():
    for surface in SURFACES:
        for seed in range(200):
            for sentence in good_captions(np.random.default_rng(seed), surface):
                plain = sentence.removesuffix(".")
                assert not re.search(r"\bdamaged\b|with (flaw|defect|damage)\b", plain), sentence


def test_a_photo_is_called_bright_or_dark_by_its_grey():
    def views(grey: int) -> set[str]:
        return set(views_of(np.full((8, 8), grey, np.uint8)))

    assert "a dark photo of" in views(40) - views(120)
    assert "a bright photo of" in views(200) - views(120)
    assert not views(120) - (views(40) & views(200))
