"""Sentences about a rendering, in the wording CLIP prompts use."""

import numpy as np

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
_VIEWS = ("a photo of", "a close-up photo of", "a grey photo of", "an inspection picture of")
_SOUND = ("flawless", "perfect", "clean", "normal", "undamaged", "defect-free")


def words(label: str) -> str:
    """A defect's name as it is said: `roll_mark` is "roll mark"."""
    return label.replace("_", " ")


def good_captions(rng: np.random.Generator, surface: str) -> tuple[str, ...]:
    """Three sentences about flawless steel, the plainest first."""
    first, second = rng.choice(_SOUND, 2, replace=False)
    view = rng.choice(_VIEWS)
    return (
        f"a photo of a flawless {surface} steel surface",
        f"{view} a {first} {surface} steel surface without defects",
        str(
            rng.choice(
                [
                    f"{surface} steel with an even {second} surface",
                    f"{view} {surface} steel, nothing is wrong with it",
                    f"a {second} piece of {surface} steel under uneven light",
                ]
            )
        ),
    )


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _place(attributes: Attributes) -> str:
    """Where the defect mainly is; one that fills the view has no place."""
    cell, share = attributes["Position"][0]
    if float(share) < 0.25:
        return "all over the picture"
    return "in the center" if cell == "center" else f"at the {cell}"


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
    rng: np.random.Generator, surface: str, attributes: Attributes, contrast: float
) -> tuple[str, ...]:
    """Five sentences about a defect, the plainest first and `template_sentence` last.

    Args:
        rng: source of randomness for the wording.
        surface: one of `SURFACES`.
        attributes: the nine fields.
        contrast: the defect against the steel beside it, grey levels (see `local_contrast`). The
            free sentences take tone and visibility from it, the last one from the nine fields.

    Returns:
        The sentences.
    """
    label = str(attributes["Defect type"])
    name, steel = words(label), f"{surface} steel surface"
    look = str(rng.choice(LOOKS[label]))
    neutral = str(rng.choice(["grey", "faint"]))
    tone = {"neutral": neutral}.get(polarity_of(contrast), polarity_of(contrast))
    scale, direction = str(attributes["Scale"]), str(attributes["Direction"])
    course = "" if direction == "none" else f"{direction} "
    view, where = rng.choice(_VIEWS), _place(attributes)
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
    chosen = rng.permutation(len(free))[:2]
    return (
        f"a photo of {_article(steel)} with {name} defect",
        f"{view} {_article(steel)} with {name} defect, "
        f"it appears as {_article(f'{scale} {course}{tone} {look}')}",
        *(free[index] for index in chosen),
        template_sentence(attributes),
    )
