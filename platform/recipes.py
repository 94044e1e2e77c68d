"""Recipes: YAML files whose steps are commands, joined by the artifacts they make.

A recipe is

.. code-block:: yaml

    name: quickstart
    description: What it is for.
    steps:
      pictures:
        command: generate procedural
        with: {count: 240}
      maps:
        command: extract
        with: {data: "${pictures}"}

``with`` takes the command's own keys. ``${step}`` stands for the directory of an earlier step's
artifact. Every step is checked before the first one runs; a step whose artifact is there already
is done, so that a recipe that was cut off goes on where it stopped.

A ``matrix`` repeats steps, and items of lists, for every value of its axes:

.. code-block:: yaml

    matrix:
      data: [neu-det, x-sdd]
    steps:
      maps-${data}:
        command: extract
        with: {data: "sets/${data}"}
      backbone:
        command: pretrain backbone
        with: {maps: ["${maps-${data}}"]}

``exclude`` lists values that do not go together, for example ``{backbone: swin, family: detr}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from millsight.platform import cli, config
from millsight.platform.artifacts import Artifact
from millsight.platform.commands import EXIT_FAILED, Outcome
from millsight.platform.errors import UserError
from millsight.platform.recipe_matrix import (
    problems_of_exclude,
    problems_of_matrix,
    repeat_steps,
)

# Beside this room in a checkout and in an installed millsight alike; importlib.resources cannot
# read a namespace package of an editable install.
PACKAGED = Path(__file__).parents[1] / "recipes"
STEP_NAME = re.compile(r"[\w-]+")
REFERENCE = re.compile(rf"\$\{{({STEP_NAME.pattern})\}}")
RECIPE_KEYS = dict.fromkeys(("name", "description", "matrix", "exclude", "steps"))
STEP_KEYS = dict.fromkeys(("command", "with"))


@dataclass(frozen=True)
class Step:
    """One command of a recipe.

    Attributes:
        name: Unique within the recipe.
        command: The command's words.
        settings: Its dotted keys and values, references not yet replaced.
    """

    name: str
    command: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Pipeline:
    """A recipe that was read and checked.

    Attributes:
        name: Groups the runs of its steps in the tracker.
        steps: In the order in which they run.
    """

    name: str
    steps: tuple[Step, ...]


@dataclass
class RunConfig:
    """Settings of ``millsight run``.

    Attributes:
        recipe: A YAML file, or the name of a recipe that comes with millsight.
        set: Overrides, each STEP.KEY=VALUE, for example maps.kead.k=2.
        workspace: Directory that all steps write under; the steps' own setting by default.
    """

    recipe: str
    set: list[str] = field(default_factory=list)
    workspace: str | None = None


@dataclass
class DemoConfig:
    """Settings of ``millsight demo``.

    Attributes:
        workspace: Directory to write under.
    """

    workspace: str = "millsight-runs"


def run(config: RunConfig) -> Outcome:
    """Run a recipe: its steps in order, finished ones skipped; a step that fails ends it."""
    outcomes = run_pipeline(read_recipe(config.recipe, config.set, config.workspace))
    codes = {item.exit_code for item in outcomes.values()}
    return Outcome(EXIT_FAILED if EXIT_FAILED in codes else max(codes), last_artifact(outcomes))


def demo(config: DemoConfig) -> Outcome:
    """Run the whole loop on embedded data and models, offline, on a CPU."""
    return run(RunConfig("quickstart", workspace=config.workspace))


def read_recipe(
    source: str, overrides: Sequence[str] = (), workspace: str | None = None
) -> Pipeline:
    """Read and check a recipe.

    Raises:
        UserError: With everything that is wrong with it, by dotted path.
    """
    document, shown = _load(source)
    steps = document.get("steps")
    if not isinstance(steps, Mapping) or not steps:
        raise UserError(f"{shown}: needs `steps`, a mapping of step names to commands.")
    problems = _check_keys(shown, document, RECIPE_KEYS)
    matrix = document.get("matrix", {})
    exclude = document.get("exclude", [])
    wrong = problems_of_matrix(matrix, steps, f"{shown}.matrix")
    wrong = wrong or problems_of_exclude(exclude, matrix, f"{shown}.exclude")
    if wrong:
        raise UserError("\n".join(problems + wrong))
    steps = repeat_steps(steps, matrix, exclude)
    parsed = {str(name): _parse_step(str(name), step) for name, step in steps.items()}
    problems += _override(parsed, overrides)
    names = list(parsed)
    for number, (name, step) in enumerate(zip(names, steps.values(), strict=True)):
        if not STEP_NAME.fullmatch(name):
            problems.append(f"{shown}: steps.{name}: letters, digits, _ and - only, to be named by")
        problems += _check_keys(f"{shown}: steps.{name}", step, STEP_KEYS)
        problems += _check_step(f"{shown}: steps.{name}", parsed[name], names[:number])
    if problems:
        raise UserError("\n".join(problems))
    title = str(document.get("name", Path(source).stem))
    return Pipeline(title, tuple(_complete(step, title, workspace) for step in parsed.values()))


def run_pipeline(pipeline: Pipeline) -> dict[str, Outcome]:
    """Run the steps in order, up to the first that fails, and return their outcomes by name."""
    from rich.console import Console

    console = Console()
    outcomes: dict[str, Outcome] = {}
    for number, step in enumerate(pipeline.steps, 1):
        console.rule(f"[bold]{number}/{len(pipeline.steps)} {step.name}: millsight {step.command}")
        artifacts = {name: item.artifact for name, item in outcomes.items()}
        settings = {key: _resolve(value, artifacts) for key, value in step.settings.items()}
        command, config_class = cli.load_command(step.command)
        outcomes[step.name] = command(config.from_mapping(config_class, settings, step.name))
        if outcomes[step.name].exit_code == EXIT_FAILED:
            break
    return outcomes


def last_artifact(outcomes: Mapping[str, Outcome]) -> Artifact | None:
    """Return the artifact of the last step that made one."""
    made = [item.artifact for item in outcomes.values() if item.artifact is not None]
    return made[-1] if made else None


def _load(source: str) -> tuple[Mapping[str, Any], str]:
    if Path(source).suffix in (".yaml", ".yml"):
        if not Path(source).is_file():
            raise UserError(f"no such recipe file: {source}")
        text, shown = Path(source).read_text(encoding="utf-8"), source
    elif (PACKAGED / f"{source}.yaml").is_file():
        text, shown = (PACKAGED / f"{source}.yaml").read_text(encoding="utf-8"), f"{source}.yaml"
    else:
        known = sorted(file.stem for file in PACKAGED.glob("*.yaml"))
        raise UserError(f"no recipe called {source!r}; name a .yaml file or one of: {known}")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{shown}: not readable as YAML: {error}") from None
    if not isinstance(document, Mapping):
        raise UserError(f"{shown}: must hold `name` and `steps`.")
    return document, shown


def _check_keys(shown: str, given: Any, known: Mapping[str, None]) -> list[str]:
    if not isinstance(given, Mapping):
        return [f"{shown}: must hold {', '.join(known)}"]
    return [
        f"{shown}.{key}: {config.unknown('key', str(key), known)}"
        for key in given
        if key not in known
    ]


def _parse_step(name: str, step: Any) -> Step:
    found = step if isinstance(step, Mapping) else {}
    settings = found.get("with") or {}
    # Anything but a mapping is kept under a key that no command has, and so reported.
    flat = config.flatten(settings if isinstance(settings, Mapping) else {"with": settings})
    return Step(name, str(found.get("command", "")), flat)


def _override(steps: dict[str, Step], overrides: Sequence[str]) -> list[str]:
    problems = []
    for override in overrides:
        target, sign, text = override.partition("=")
        name, _, key = target.partition(".")
        if not sign or not key or name not in steps:
            problems.append(f"--set {override}: must be STEP.KEY=VALUE, STEP one of {[*steps]}")
            continue
        step = steps[name]
        kind = _fields(step).get(key, (str, False))[0]
        value = {key: config.from_text(text, kind)}
        steps[name] = Step(name, step.command, {**step.settings, **value})
    return problems


def _fields(step: Step) -> dict[str, tuple[Any, bool]]:
    """Return a step's possible settings; none where there is no such command."""
    try:
        return config.leaf_fields(cli.load_command(step.command)[1])
    except UserError:
        return {}


def _check_step(shown: str, step: Step, earlier: Sequence[str]) -> list[str]:
    unknown = [
        f"{shown}.with.{key}: ${{{name}}} is no earlier step ({list(earlier)})"
        for key, value in step.settings.items()
        for name in REFERENCE.findall(str(value))
        if name not in earlier
    ]
    try:
        _, config_class = cli.load_command(step.command)
    except UserError as error:
        return [f"{shown}.command: {error}", *unknown]
    return config.problems_of(config_class, step.settings, f"{shown}.with.") + unknown


def _complete(step: Step, group: str, workspace: str | None) -> Step:
    """Give a step the recipe's tracker group and workspace where its command knows them."""
    settings: dict[str, Any] = {"tracking.group": group, **step.settings}
    if workspace:
        settings["workspace"] = workspace
        settings.setdefault("tracking.directory", f"{workspace}/tracking")
    known = _fields(step)
    return Step(step.name, step.command, {k: v for k, v in settings.items() if k in known})


def _resolve(value: Any, artifacts: Mapping[str, Artifact | None]) -> Any:
    if isinstance(value, list):
        return [_resolve(item, artifacts) for item in value]
    if not isinstance(value, str):
        return value

    def directory(match: re.Match[str]) -> str:
        artifact = artifacts[match[1]]
        if artifact is None:
            raise UserError(f"step {match[1]} made no artifact, so ${{{match[1]}}} means nothing")
        return artifact.path

    return REFERENCE.sub(directory, value)
