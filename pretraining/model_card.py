"""Parts that the cards of all trained models share: lineage, numbers, settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from millsight.evaluation import anomaly_maps
from millsight.platform.artifacts import Artifact, open_artifact
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input, to_json

# Hexadecimal digits of a hash that are shown.
SHOWN = 12
COUNTS = ("pictures", "boxes")


def lineage(inputs: Mapping[str, Input]) -> str:
    """Trace what something was made from back to the pictures, as a nested Markdown list.

    Args:
        inputs: By role. Artifacts that still lie where they did are followed to their own inputs.
    """
    return "\n".join(_trace(inputs, ""))


def number_table(numbers: Mapping[str, Any]) -> str:
    """Return a Markdown table."""
    rows = [f"| {name} | {value} |" for name, value in to_json(numbers).items()]
    return "\n".join(("| number | value |", "|---|---|", *rows))


def settings_block(settings: Any) -> str:
    """Return a configuration as a Markdown block of JSON."""
    return f"```json\n{json.dumps(to_json(settings), indent=2)}\n```"


def find_source(source: Input) -> Artifact | None:
    """Open an input that is an artifact and still lies where it did, not made again since."""
    try:
        artifact = open_artifact(source.uri)
    except UserError:
        return None
    return artifact if artifact.fingerprint == source.fingerprint else None


def inputs_of(artifact: Artifact) -> dict[str, Input]:
    """Return what an artifact was made from, by role."""
    given = artifact.manifest["inputs"]
    return {name: Input(item["fingerprint"], item["uri"]) for name, item in given.items()}


def _trace(inputs: Mapping[str, Input], indent: str) -> Iterator[str]:
    for role, source in inputs.items():
        artifact = find_source(source)
        kind = "" if artifact is None else f"{artifact.manifest['kind']} "
        shown = f"{kind}`{source.fingerprint[:SHOWN]}`, `{source.uri}`"
        yield f"{indent}- {role}: {shown}{'' if artifact is None else _facts(artifact)}"
        if artifact is not None:
            yield from _trace(inputs_of(artifact), f"{indent}  ")


def _facts(artifact: Artifact) -> str:
    manifest = artifact.manifest
    facts = [f"{value} {name}" for name, value in manifest["metrics"].items() if name in COUNTS]
    facts += [f"{role} weights `{sha[:SHOWN]}`" for role, sha in manifest["weights"].items()]
    if manifest["kind"] == anomaly_maps.KIND:
        facts += _of_maps(artifact.config)
    return "".join(f"; {fact}" for fact in facts)


def _of_maps(config: Mapping[str, Any]) -> list[str]:
    kead, categories = config["kead"], config["categories"]
    prompts = {item["prompts"]["object"]: None for item in categories.values() if item["prompts"]}
    sentences = (
        f"`{kead['sentences']}` prompts for {', '.join(prompts)}" if prompts else "no prompts"
    )
    return [f"encoder `{kead['encoder']}`, k = {kead['k']}", sentences]
