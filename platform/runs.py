"""A stage run from start to end: artifact, shards, executor, progress, tracker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from millsight.platform import storage
from millsight.platform.artifacts import Artifact, Draft, drafting, find_artifact
from millsight.platform.catalog.sample import Quarantined, Sample
from millsight.platform.commands import EXIT_FAILED, EXIT_QUARANTINED, Outcome
from millsight.platform.executors import ExecutionConfig
from millsight.platform.executors.executor import ExecutionReport
from millsight.platform.fingerprints import Recipe
from millsight.platform.shards import Shard, ShardStore, make_shards
from millsight.platform.stages import Stage, StageOutput
from millsight.platform.tracking import RunInfo, TrackingConfig, track

QUARANTINE_FILE = "quarantine.json"

Finish = Callable[[StageOutput, Draft], Mapping[str, Any]]


class GivenUpError(Exception):
    """Shards failed for good; ends the block that tracks the run as failed."""

    def __init__(self, report: ExecutionReport) -> None:
        super().__init__()
        self.report = report


@dataclass
class StageRun:
    """Runs one stage over samples into one artifact.

    Attributes:
        recipe: Decides the fingerprint.
        path: The artifact's directory.
        execution: Where the stage runs.
        tracking: Who is told.
        quarantined: Pictures that were set aside before the stage, when the folder was read.
    """

    recipe: Recipe
    path: str
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    quarantined: Sequence[Quarantined] = ()

    def finished(self) -> Outcome | None:
        """Return what ``run`` returned when it made the artifact, if that is there already.

        Raises:
            RefusedError: If the directory holds something else.
        """
        artifact = find_artifact(self.path, self.recipe)
        return None if artifact is None else _outcome(artifact)

    def run(self, stage: Stage, samples: Sequence[Sample], finish: Finish) -> Outcome:
        """Compute what has not landed, merge, and commit the artifact.

        Args:
            stage: What to do.
            samples: In the order of the result's rows.
            finish: Writes the payload from the merged output and returns the headline metrics.

        Returns:
            Exit code 0; ``EXIT_QUARANTINED`` when pictures were set aside; ``EXIT_FAILED``, without
            an artifact, when shards were given up.
        """
        try:
            return _outcome(self._run(stage, samples, finish))
        except GivenUpError as error:
            print_failed(error.report, self.path)
            return Outcome(EXIT_FAILED)

    def _run(self, stage: Stage, samples: Sequence[Sample], finish: Finish) -> Artifact:
        shards = make_shards(samples, self.execution.shard_size)
        info = RunInfo(self.recipe.kind, self.recipe.fingerprint, dict(self.recipe.config))
        executor = self.execution.build()
        with drafting(self.path, self.recipe) as draft, track(self.tracking, info) as tracker:
            store = ShardStore(draft.path)
            landed = 0

            def on_landed(shard: Shard) -> None:
                nonlocal landed
                landed += len(shard.samples)
                tracker.log({"pictures_landed": landed})

            report = executor.run(stage, shards, store, on_landed)
            tracker.summary(_report_metrics(report))
            if report.failed:
                raise GivenUpError(report)
            metrics = self._write(draft, store.merge(shards), finish)
            tracker.summary(metrics)
            return draft.commit(metrics)

    def _write(self, draft: Draft, merged: StageOutput, finish: Finish) -> dict[str, Any]:
        quarantined = [asdict(item) for item in (*self.quarantined, *merged.quarantined)]
        write_quarantine(draft, quarantined)
        metrics = dict(finish(merged, draft))
        return {"pictures": merged.rows.num_rows, "quarantined": len(quarantined)} | metrics


def write_quarantine(draft: Draft, items: Sequence[Mapping[str, Any]]) -> None:
    """Write which pictures were set aside, and why: the fields of each ``Quarantined``."""
    text = json.dumps(items, indent=2) + "\n"
    storage.write_bytes(draft.file(QUARANTINE_FILE), text.encode())


def read_quarantine(artifact: Artifact) -> list[Quarantined]:
    """Read which pictures an artifact's run set aside, and why."""
    found = json.loads(storage.read_bytes(artifact.file(QUARANTINE_FILE)))
    return [Quarantined(**item) for item in found]


def _report_metrics(report: ExecutionReport) -> dict[str, float]:
    return {
        "shards_landed": report.landed,
        "shards_skipped": report.skipped,
        "shards_requeued": report.requeued,
        "shards_failed": len(report.failed),
        "setup_seconds": report.setup_seconds,
        "process_seconds": report.process_seconds,
    }


def _outcome(artifact: Artifact) -> Outcome:
    quarantined = artifact.manifest["metrics"]["quarantined"]
    return Outcome(EXIT_QUARANTINED if quarantined else 0, artifact)


def print_failed(report: ExecutionReport, path: str) -> None:
    """Tell people which shards failed, why, and how to go on.

    Args:
        report: Of the run.
        path: The directory of the artifact that was not made.
    """
    from rich.console import Console

    console = Console(stderr=True, markup=False, soft_wrap=True)
    console.print(f"{len(report.failed)} shards failed:", style="bold red")
    for failed in report.failed:
        last = failed.error.strip().splitlines()[-1]
        console.print(f"  {failed.shard_id} after {failed.attempts} attempts: {last}")
    console.print(
        f"Full errors are in {path.rstrip('/')}.partial/failed; what has landed is kept. Mend the "
        "cause and run the same command again."
    )
