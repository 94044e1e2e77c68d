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
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from millsight.platform import cli, config
from millsight.platform.artifacts import Artifact
from millsight.platform.commands import Outcome
from millsight.platform.errors import UserError

REFERENCE = re.compile(r"\$\{([\w-]+)\}")


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
    """Run a recipe: its steps in order, finished ones skipped."""
    outcomes = run_pipeline(read_recipe(config.recipe, config.set, config.workspace))
    return Outcome(max(item.exit_code for item in outcomes.values()), last_artifact(outcomes))


def demo(config: DemoConfig) -> Outcome:
    """Run the whole loop on embedded data and models, offline, on a CPU."""
    return run(RunConfig("quickstart", workspace=config.workspace))


def read_recipe(
    source: str, overrides: list[str] | None = None, workspace: str | None = None
) -> Pipeline:
    """Read and check a recipe.

    Raises:
        UserError: With everything that is wrong with it, by dotted path.
    """
    document, shown = _load(source)
    steps = document.get("steps")
    if not isinstance(steps, Mapping) or not steps:
        raise UserError(f"{shown}: needs `steps`, a mapping of step names to commands.")
    settings = {name: _settings(step) for name, step in steps.items()}
    problems = _override(settings, overrides or [])
    parsed: list[Step] = []
    for name, step in steps.items():
        command = str(step.get("command", "")) if isinstance(step, Mapping) else ""
        problems += _check_step(f"{shown}: steps.{name}", command, settings[name], parsed)
        parsed.append(Step(name, command, settings[name]))
    if problems:
        raise UserError("\n".join(problems))
    name = str(document.get("name", Path(source).stem))
    return Pipeline(name, tuple(_with_defaults(step, name, workspace) for step in parsed))


def run_pipeline(pipeline: Pipeline) -> dict[str, Outcome]:
    """Run the steps in order and return their outcomes by name."""
    from rich.console import Console

    console = Console()
    outcomes: dict[str, Outcome] = {}
    for number, step in enumerate(pipeline.steps, 1):
        console.rule(f"[bold]{number}/{len(pipeline.steps)} {step.name}: millsight {step.command}")
        artifacts = {name: item.artifact for name, item in outcomes.items()}
        settings = {key: _resolve(value, artifacts) for key, value in step.settings.items()}
        command, config_class = cli.load_command(step.command)
        outcomes[step.name] = command(config.from_mapping(config_class, settings, step.name))
    return outcomes


def last_artifact(outcomes: Mapping[str, Outcome]) -> Artifact | None:
    """Return the artifact of the last step that made one."""
    made = [item.artifact for item in outcomes.values() if item.artifact is not None]
    return made[-1] if made else None


def _load(source: str) -> tuple[Mapping[str, Any], str]:
    packaged = importlib.resources.files("millsight.recipes")
    if Path(source).suffix in (".yaml", ".yml"):
        if not Path(source).is_file():
            raise UserError(f"no such recipe file: {source}")
        text, shown = Path(source).read_text(encoding="utf-8"), source
    elif (packaged / f"{source}.yaml").is_file():
        text, shown = (packaged / f"{source}.yaml").read_text(encoding="utf-8"), f"{source}.yaml"
    else:
        known = sorted(p.name.removesuffix(".yaml") for p in packaged.iterdir() if "yaml" in p.name)
        raise UserError(f"no recipe called {source!r}; name a .yaml file or one of: {known}")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{shown}: not readable as YAML: {error}") from None
    if not isinstance(document, Mapping):
        raise UserError(f"{shown}: must hold `name` and `steps`.")
    return document, shown


def _settings(step: Any) -> dict[str, Any]:
    given = step.get("with") if isinstance(step, Mapping) else None
    return config.flatten(given) if isinstance(given, Mapping) else {}


def _override(settings: dict[str, dict[str, Any]], overrides: list[str]) -> list[str]:
    problems = []
    for override in overrides:
        target, sign, text = override.partition("=")
        step, _, key = target.partition(".")
        if not sign or not key or step not in settings:
            problems.append(f"--set {override}: must be STEP.KEY=VALUE, STEP one of {[*settings]}")
        else:
            settings[step][key] = yaml.safe_load(text)
    return problems


def _check_step(
    shown: str, command: str, settings: Mapping[str, Any], earlier: list[Step]
) -> list[str]:
    names = [step.name for step in earlier]
    unknown = [
        f"{shown}.with.{key}: ${{{name}}} is no earlier step ({names})"
        for key, value in settings.items()
        for name in REFERENCE.findall(value if isinstance(value, str) else "")
        if name not in names
    ]
    try:
        _, config_class = cli.load_command(command)
    except UserError as error:
        return [f"{shown}.command: {error}", *unknown]
    return config.problems_of(config_class, settings, f"{shown}.with.") + unknown


def _with_defaults(step: Step, group: str, workspace: str | None) -> Step:
    """Give a step the recipe's tracker group and workspace where its command knows them."""
    _, config_class = cli.load_command(step.command)
    known = config.leaf_fields(config_class)
    defaults = {"tracking.group": group} | ({"workspace": workspace} if workspace else {})
    common = {key: value for key, value in defaults.items() if key in known}
    return Step(step.name, step.command, common | dict(step.settings))


def _resolve(value: Any, artifacts: Mapping[str, Artifact | None]) -> Any:
    if not isinstance(value, str):
        return value

    def directory(match: re.Match[str]) -> str:
        artifact = artifacts[match[1]]
        if artifact is None:
            raise UserError(f"step {match[1]} made no artifact, so ${{{match[1]}}} means nothing")
        return artifact.path

    return REFERENCE.sub(directory, value)
