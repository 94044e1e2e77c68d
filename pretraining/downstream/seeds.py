"""One finetuning per seed, judged on the same pictures, as one table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from millsight.evaluation.metrics.seeds import format_over_seeds, over_seeds
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, Draft, drafting, find_artifact, open_artifact
from millsight.platform.commands import EXIT_QUARANTINED, Outcome, OutputConfig
from millsight.platform.fingerprints import Recipe
from millsight.platform.runs import QUARANTINE_FILE
from millsight.pretraining.downstream.judging import Judged, judge_run

RUNS_FILE = "runs.json"
SCHEMA_VERSION = 1


def gather(
    config: OutputConfig, kind: str, runs: Mapping[int, Artifact], judged: Judged
) -> Outcome:
    """Make the artifact over all seeds, and show it.

    Args:
        config: Where to.
        kind: Of the artifact.
        runs: Finetunings by seed.
        judged: What they are judged by.

    Raises:
        UserError: If no predicted picture can be judged.
    """
    inputs = {f"seed_{seed}": run.as_input() for seed, run in runs.items()}
    recipe = Recipe(kind, SCHEMA_VERSION, {}, inputs)
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        with drafting(path, recipe) as draft:
            artifact = draft.commit(write(draft, runs, judged))
    print(describe(artifact, judged))
    print(artifact.path)
    set_aside = [run for run in runs.values() if run.manifest["metrics"]["quarantined"]]
    for run in set_aside:
        count, file = run.manifest["metrics"]["quarantined"], run.file(QUARANTINE_FILE)
        print(f"{count} pictures were set aside: {file} says which and why.")
    return Outcome(EXIT_QUARANTINED if set_aside else 0, artifact)


def write(draft: Draft, runs: Mapping[int, Artifact], judged: Judged) -> dict[str, Any]:
    """Write ``runs.json``, where each seed's run lies; return mean metrics over the seeds.

    Raises:
        UserError: If no predicted picture can be judged.
    """
    places = {str(seed): run.path for seed, run in runs.items()}
    storage.write_bytes(draft.file(RUNS_FILE), (json.dumps(places, indent=2) + "\n").encode())
    found = [judge_run(run, judged) for run in runs.values()]
    return {"seeds": list(runs)} | {name: over_seeds(found, name) for name in judged.metrics}


def read(artifact: Artifact) -> dict[int, Artifact]:
    """Open the finetunings of an artifact over seeds.

    Raises:
        UserError: If one of them is not where it was.
    """
    places = json.loads(storage.read_bytes(artifact.file(RUNS_FILE)))
    return {int(seed): open_artifact(place) for seed, place in places.items()}


def describe(artifact: Artifact, judged: Judged) -> str:
    """Return the mean over seeds [95 % interval over pictures] ± over seeds, by metric."""
    metrics = artifact.manifest["metrics"]
    return "\n".join(
        f"{heading:10} {format_over_seeds(metrics[name])}"
        for name, heading in judged.metrics.items()
    )
