"""Prompt sets: what a category looks like when it is good and when it is not, in sentences.

The format is described in ``prompts/README.md``.
"""

from __future__ import annotations

import difflib
import logging
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from millsight.platform import storage
from millsight.platform.errors import UserError

logger = logging.getLogger(__name__)

Sentences = Literal["defects", "generic"]

FOLDER = "prompts"
GENERIC = "generic_metal"
AUTO = "auto"

NORMAL_STATES = ("{}", "flawless {}", "perfect {}", "unblemished {}")
ANOMALY_STATES = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
DEFECT_SENTENCE = "{object} with {defect} defect, it appears as {appearance}"


class PromptSet(pydantic.BaseModel):
    """The sentences of one category.

    Attributes:
        category: Slug of the category, as in ``Sample.category``.
        object: What is in the picture, a noun without article: ``steel pipe``.
        aliases: Other names under which a catalog may know the category.
        good: Phrases for the good state, each with ``{}`` where the object goes.
        defects: Appearance of each defect type, by the type's name.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    category: str = pydantic.Field(min_length=1)
    object: str = pydantic.Field(min_length=1)
    aliases: tuple[str, ...] = ()
    good: tuple[str, ...] = ()
    defects: dict[str, str]

    @pydantic.field_validator("category", "aliases")
    @classmethod
    def _slugged(cls, value: Any) -> Any:
        return slug(value) if isinstance(value, str) else tuple(slug(item) for item in value)

    @pydantic.field_validator("good")
    @classmethod
    def _has_object(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        for phrase in phrases:
            if phrase.count("{}") != 1 or "{" in phrase.replace("{}", ""):
                raise ValueError(f"{phrase!r} needs one {{}}, where the object goes")
        return phrases

    @pydantic.field_validator("object", "defects")
    @classmethod
    def _plain_words(cls, value: Any) -> Any:
        words = [value] if isinstance(value, str) else [*value, *value.values()]
        for word in words:
            if not word.strip() or "{" in word or "}" in word:
                raise ValueError(f"{word!r} must be plain words, without braces")
        return value


@dataclass(frozen=True, slots=True)
class Phrases:
    """What is put into the photo templates.

    Attributes:
        normal: Phrases for the good state.
        anomalous: Phrases for the damaged state.
    """

    normal: tuple[str, ...]
    anomalous: tuple[str, ...]


def make_phrases(prompts: PromptSet, sentences: Sentences = "defects") -> Phrases:
    """Put the object into the states, and its defect types into sentences.

    Args:
        prompts: The category's set.
        sentences: ``"generic"`` leaves out the set's own phrases (ablation).
    """
    noun = prompts.object
    own = sentences == "defects"
    good = prompts.good if own else ()
    described = tuple(
        DEFECT_SENTENCE.format(object=noun, defect=defect, appearance=appearance)
        for defect, appearance in (prompts.defects.items() if own else ())
    )
    return Phrases(
        tuple(phrase.replace("{}", noun) for phrase in (*NORMAL_STATES, *good)),
        (*(state.replace("{}", noun) for state in ANOMALY_STATES), *described),
    )


def prompts_for(category: str, source: str = AUTO) -> PromptSet:
    """Choose the prompt set of a category.

    Args:
        category: As in ``Sample.category``.
        source: ``"auto"`` takes the packaged set with that category, then the one that has it
            among its aliases, then the generic one with a warning. Anything else is the path of a
            prompt file, which is taken whatever category it names.

    Raises:
        UserError: If the file is missing or not a valid prompt set.
    """
    if source != AUTO:
        return read_prompts(source)
    wanted, sets = slug(category), packaged_prompts()
    if wanted in sets:
        return sets[wanted]
    for prompts in sets.values():
        if wanted in prompts.aliases:
            return prompts
    logger.warning(
        "no packaged prompts fit the category %r; using %s. `millsight prompts draft` writes a "
        "set of its own from one picture. Packaged are: %s.",
        category,
        GENERIC,
        ", ".join(sorted(sets)),
    )
    return sets[GENERIC]


@cache
def packaged_prompts() -> dict[str, PromptSet]:
    """Return the prompt sets that come with millsight, by category."""
    folder = resources.files("millsight.pretraining.kead") / FOLDER
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".yaml"))
    sets = [parse_prompts((folder / name).read_text("utf-8"), name) for name in files]
    return {prompts.category: prompts for prompts in sets}


def read_prompts(path: str | Path) -> PromptSet:
    """Read a prompt file.

    Raises:
        UserError: If it is missing or not a valid prompt set; names every problem at once.
    """
    try:
        text = storage.read_bytes(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--prompts {path}: cannot be read as a text file ({type(error).__name__}). Give "
            f"{AUTO!r}, or the path of a YAML prompt file."
        ) from None
    return parse_prompts(text, str(path))


def parse_prompts(text: str, name: str) -> PromptSet:
    """Check the text of a prompt file; ``name`` is what errors call it.

    Raises:
        UserError: If it is not a valid prompt set; names every problem at once.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{name} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{name}: must hold the keys {', '.join(PromptSet.model_fields)}.")
    try:
        return PromptSet.model_validate(content)
    except pydantic.ValidationError as error:
        problems = [f"  {_explain(problem)}" for problem in error.errors()]
        raise UserError("\n".join([f"{name} is not a valid prompt set:", *problems])) from None


def slug(name: str) -> str:
    """Turn a name into lower-case words joined by underscores.

    Examples:
        >>> slug("KolektorSDD 512"), slug("X-SDD")
        ('kolektorsdd_512', 'x_sdd')
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _explain(problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{path}: {problem['msg'].removeprefix('Value error, ')}"
    near = difflib.get_close_matches(path, PromptSet.model_fields, n=1, cutoff=0)
    return f"{path}: no such key; the nearest is {near[0]}"
