"""A picture's recipe: the command that makes exactly this one again."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import yaml

from millsight.generators.export.files import picture_png, sample_name
from millsight.generators.production.commands import ENGINES, GenerateSampleConfig
from millsight.generators.samples import Generated, SampleSpec
from millsight.generators.service.asked import deciding
from millsight.generators.service.views import RecipeView

COMMAND = "millsight generate sample"
# They say which pictures may stay; a picture that is made again is judged no more.
JUDGING = frozenset({"filters", "scorer", "budget"})
NOTES = (
    "It reads the service's catalog and models where the service finds them: name your own copies "
    "with --data, --diffusion.base and --diffusion.adapter.",
    "The same pixels come from the same hardware, libraries and number of threads; the PNG file's "
    "bytes from the same OpenCV.",
)


def recipe(config: GenerateSampleConfig, made: Generated) -> RecipeView:
    """Write the recipe of a picture.

    Args:
        config: The settings of its set.
        made: The picture.
    """
    only = replace(config, only=[f"{made.request.index}/{made.request.attempt}"])
    content = deciding(only) | {"only": only.only}
    unused = set(ENGINES.values()) - {ENGINES[config.spec.mode]}
    settings = {name: value for name, value in content.items() if name not in JUDGING | unused}
    default = asdict(GenerateSampleConfig(data="", spec=SampleSpec(label="")))
    changed = _changed(settings, default)
    flags = [_flag(name, _text(value)) for name, value in _leaves(changed).items()]
    label = config.spec.label
    return RecipeView(
        command=" ".join([COMMAND, *flags]),
        config=changed,
        yaml=yaml.safe_dump(changed, sort_keys=False, allow_unicode=True),
        file=f"images/train/{label}/{sample_name(made)}.png",
        sha256=hashlib.sha256(picture_png(made)).hexdigest(),
        notes=list(NOTES),
    )


def _changed(values: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is not as it would be anyway."""
    found = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            if inner := _changed(value, default[name]):
                found[name] = inner
        elif value != default[name]:
            found[name] = value
    return found


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _flag(name: str, text: str) -> str:
    # A value that begins with a dash would be taken for a flag.
    return f"--{name}{'=' if text.startswith('-') else ' '}{shlex.quote(text)}"


def _text(value: Any) -> str:
    """A flag's value as the command line reads it: YAML, but words as they are."""
    return value if isinstance(value, str) else json.dumps(value)
