"""One finetuning per seed, judged on the same pictures, as one table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from millsight.evaluation.metrics.detection import DetectionMetrics
from millsight.evaluation.metrics.results import BootstrapConfig
from millsight.evaluation.metrics.seeds import format_over_seeds, over_seeds
from millsight.evaluation.results import table as tables
from millsight.evaluation.results.judging import judge_boxes
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, Draft
from millsight.platform.errors import UserError

METRICS = {"map_50": "mAP@.5", "map_50_95": "mAP@.5:.95"}
RUNS_FILE = "runs.json"


def write(draft: Draft, runs: Mapping[int, Artifact]) -> dict[str, Any]:
    """Write ``runs.json``, where each seed's run lies; return mean metrics over the seeds.

    Raises:
        UserError: If no predicted picture has known boxes.
    """
    places = {str(seed): run.path for seed, run in runs.items()}
    storage.write_bytes(draft.file(RUNS_FILE), (json.dumps(places, indent=2) + "\n").encode())
    judged = [judge(run) for run in runs.values()]
    return {"seeds": list(runs)} | {name: over_seeds(judged, name) for name in METRICS}


def judge(run: Artifact, bootstrap: BootstrapConfig | None = None) -> DetectionMetrics:
    """Judge the predictions of one finetuning over all classes.

    Raises:
        UserError: If no predicted picture has known boxes.
    """
    rows = list(tables.from_table(tables.read_table(run.file(tables.FILE))))
    judged = judge_boxes(rows, bootstrap=bootstrap)
    if judged is None:
        raise UserError(f"{run.path}: no predicted picture has known boxes, so none can be judged.")
    return judged.all


def describe(artifact: Artifact) -> str:
    """Return the mean over seeds [95 % interval over pictures] ± over seeds, by metric."""
    metrics = artifact.manifest["metrics"]
    return "\n".join(
        f"{heading:10} {format_over_seeds(metrics[name])}" for name, heading in METRICS.items()
    )
