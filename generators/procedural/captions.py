"""Sentences about a rendering, in the wording CLIP prompts use.

The words are in `wording.yaml`; `LOOKS` are those that go after scale, direction and tone.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from millsight.evaluation.steeldefectx.attributes import polarity_of, saliency_of
from millsight.generators.procedural.rendering import Attributes

LOOKS = {
    "scratch": ("line", "furrow", "streak"),
    "crack": ("branching line", "jagged fissure", "ragged crack line"),
    "pit": ("hollow", "round dimple", "speck"),
    "inclusion": ("streak of slag", "ragged spindle", "embedded particle"),
    "patch": ("blotch", "irregular area", "region of another tone"),
    "roll_mark": ("repeated dent", "periodic imprint", "recurring print"),
    "scale": ("flake of oxide", "pressed-in flake", "scaly speck"),
    "edge_break": ("missing piece at the edge", "torn notch", "broken rim"),
    "crazing": ("net of fine cracks", "web of hair lines", "network of cracks"),
    "blowhole": ("round hole", "gas hole", "deep cavity"),
    "oil_spot": ("smooth stain", "oily film", "spot with a clear outline"),
}
_VIEWS = (
    "a photo of", "a photo of", "a close-up photo of", "a cropped photo of", "a grey photo of",
    "an inspection picture of",
)  # fmt: skip
_PURPOSES = ("", "", "", " for visual inspection", " for anomaly detection")
_SOUND = ("flawless", "perfect", "clean", "normal", "undamaged", "defect-free")
_BRIGHT, _DARK = 150, 85


def words(label: str) -> str:
    """A defect's name as it is said: `roll_mark` is "roll mark"."""
    return label.replace("_", " ")


def views_of(picture: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    """How a picture may be introduced: uint8 (H, W) to phrases such as "a close-up photo of"."""
    mean = float(picture.mean())
    if mean > _BRIGHT:
        return (*_VIEWS, "a bright photo of")
    return (*_VIEWS, "a dark photo of") if mean < _DARK else _VIEWS


def facts_of(attributes: Attributes, surface: str, contrast: float) -> frozenset[str]:
    """What `wording.yaml` may ask for before it says something about a defect.

    Args:
        attributes: the nine fields.
        surface: one of `SURFACES`.
        contrast: the defect against the steel beside it, grey levels (see `local_contrast`).

    Returns:
        "always", the surface, a tone (dark, bright, neutral), the distribution, and those that
        hold of: one, several, many; small, large; faint, clear; long and its direction.
    """
    number, scale = str(attributes["Number of Defects"]), str(attributes["Scale"])
    direction = str(attributes["Direction"])
    facts = {"always", surface, polarity_of(contrast), str(attributes["Spatial Distribution"])}
    facts |= {"one"} if number == "one" else {"several"}
    facts |= {"many"} if number == "multiple" else set()
    facts |= {"tiny": {"small"}, "extensive": {"large"}}.get(scale, {scale})
    facts |= {"low": {"faint"}, "high": {"clear"}}.get(saliency_of(contrast), set())
    facts |= set() if direction == "none" else {"long", direction}
    return frozenset(facts)


def good_captions(
    rng: np.random.Generator, surface: str, views: Sequence[str] = _VIEWS
) -> tuple[str, ...]:
    """Six sentences about flawless steel, the plainest first.

    Args:
        rng: source of randomness for the wording.
        surface: one of `SURFACES`.
        views: how the picture may be introduced (see `views_of`).

    Returns:
        The sentences.
    """
    first, second = rng.choice(_SOUND, 2, replace=False)
    view = rng.choice(views)
    own = [
        f"{surface} steel with an even {second} surface",
        f"{view} {surface} steel, nothing is wrong with it",
        f"{_article(f'{second} piece')} of {surface} steel under uneven light",
    ]
    states = [_pick(rng, _wording()["good"]) for _ in range(2)]
    phrases = [*states, _pick(rng, _wording()["surfaces"][surface]["good"])]
    return (
        f"a photo of a flawless {surface} steel surface",
        f"{view} a {first} {surface} steel surface without defects",
        _pick(rng, own),
        *(_photo(rng, views, phrase.format(_object(rng, surface))) for phrase in phrases),
    )


def template_sentence(attributes: Attributes) -> str:
    """All nine fields in one fixed sentence, as the paper's T4 does for its own."""
    name = words(str(attributes["Defect type"]))
    direction = attributes["Direction"]
    course = "" if direction == "none" else f" running in {direction} direction"
    cells = " and ".join(str(cell) for cell, _ in attributes["Position"][:2])
    return (
        f"{attributes['Scale']} {attributes['Polarity']} {name} of {attributes['Shape']} shape"
        f"{course}, {attributes['Spatial Distribution']}, number {attributes['Number of Defects']},"
        f" at {cells}, {attributes['Saliency']} saliency"
    )


def defect_captions(
    rng: np.random.Generator,
    surface: str,
    attributes: Attributes,
    contrast: float,
    views: Sequence[str] = _VIEWS,
) -> tuple[str, ...]:
    """Nine sentences about a defect, the plainest first and `template_sentence` last.

    Args:
        rng: source of randomness for the wording.
        surface: one of `SURFACES`.
        attributes: the nine fields.
        contrast: the defect against the steel beside it, grey levels (see `local_contrast`). The
            free sentences take tone and visibility from it, the last one from the nine fields.
        views: how the picture may be introduced (see `views_of`).

    Returns:
        The sentences.
    """
    name, steel = words(str(attributes["Defect type"])), f"{surface} steel surface"
    return (
        f"a photo of {_article(steel)} with {name} defect",
        *_free_captions(rng, surface, attributes, contrast, views),
        *_prompted_captions(rng, surface, attributes, contrast, views),
        template_sentence(attributes),
    )


def _free_captions(
    rng: np.random.Generator,
    surface: str,
    attributes: Attributes,
    contrast: float,
    views: Sequence[str],
) -> list[str]:
    """Three sentences from the nine fields and `LOOKS`."""
    label = str(attributes["Defect type"])
    name, steel, look = words(label), f"{surface} steel surface", _pick(rng, LOOKS[label])
    tone = polarity_of(contrast)
    tone = _pick(rng, ["grey", "faint"]) if tone == "neutral" else tone
    scale, direction = str(attributes["Scale"]), str(attributes["Direction"])
    course = "" if direction == "none" else f"{direction} "
    view, where = _pick(rng, views), _place(attributes)
    many = attributes["Number of Defects"]
    count = f"there are {many}" if many != "one" else "there is only one"
    seen = {"low": "hardly visible", "medium": "visible", "high": "clearly visible"}
    free = [
        f"{view} {_article(f'{tone} {name}')} {where} on {_article(steel)}",
        f"{surface} steel with {_article(f'{scale} {name}')}, {count} {where}",
        f"damaged {surface} steel, {_article(f'{course}{tone} {look}')} is "
        f"{seen[saliency_of(contrast)]}",
        f"{_article(name)} defect on {surface} steel, {attributes['Spatial Distribution']}, "
        f"{where}",
    ]
    appearance = _article(f"{scale} {course}{tone} {look}")
    named = f"{view} {_article(steel)} with {name} defect, it appears as {appearance}"
    return [named, *(free[index] for index in rng.permutation(len(free))[:2])]


def _prompted_captions(
    rng: np.random.Generator,
    surface: str,
    attributes: Attributes,
    contrast: float,
    views: Sequence[str],
) -> list[str]:
    """Four sentences as KeAD's prompts put it: a state, two looks and a comparison."""
    known = _wording()["defects"][str(attributes["Defect type"])]
    facts = facts_of(attributes, surface, contrast)
    names, looks, likes = (_true(known[part], facts) for part in ("names", "looks", "likes"))
    appearances = [_pick(rng, looks or likes), _pick(rng, looks or likes), _pick(rng, likes)]
    appearances[2] = f"something like {appearances[2]}"
    described = [
        f"{_object(rng, surface)} with {_pick(rng, names)} defect, it appears as {appearance}"
        for appearance in appearances
    ]
    state = _pick(rng, _wording()["damaged"]).format(_object(rng, surface))
    return [_photo(rng, views, phrase) for phrase in (state, *described)]


def _true(phrases: Mapping[str, list[str]], facts: frozenset[str]) -> list[str]:
    return [
        phrase
        for needed, group in phrases.items()
        if facts.issuperset(needed.split())
        for phrase in group
    ]


def _object(rng: np.random.Generator, surface: str) -> str:
    """The steel in the picture, without an article: by its name, another one or a comparison."""
    known, kind = _wording()["surfaces"][surface], rng.random()
    if kind < 0.5:
        return f"{surface} steel surface"
    if kind < 0.75:
        return _pick(rng, known["nouns"])
    return f"surface like {_pick(rng, known['likes'])}"


def _photo(rng: np.random.Generator, views: Sequence[str], phrase: str) -> str:
    article = _article(phrase) if rng.random() < 0.6 else f"the {phrase}"
    return f"{_pick(rng, views)} {article}{_pick(rng, _PURPOSES)}{_pick(rng, ['', '.'])}"


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _place(attributes: Attributes) -> str:
    """Where the defect mainly is; one that fills the view has no place."""
    cell, share = attributes["Position"][0]
    if float(share) < 0.25:
        return "all over the picture"
    return "in the center" if cell == "center" else f"at the {cell}"


def _pick(rng: np.random.Generator, phrases: Sequence[str]) -> str:
    return phrases[int(rng.integers(len(phrases)))]


@cache
def _wording() -> dict[str, Any]:
    folder = resources.files("millsight.generators.procedural")
    content: dict[str, Any] = yaml.safe_load((folder / "wording.yaml").read_text("utf-8"))
    return content
