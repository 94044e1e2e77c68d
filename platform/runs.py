"""A stage run from start to end: artifact, shards, executor, progress, tracker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from millsight.platform import storage
from millsight.platform.artifacts import Artifact, Draft, Recipe, drafting, find_artifact
from millsight.platform.catalog.sample import Quarantined, Sample
from millsight.platform.commands import Outcome
from millsight.platform.executors import ExecutionConfig
from millsight.platform.executors.executor import ExecutionReport
from millsight.platform.shards import Shard, ShardStore, make_shards
from millsight.platform.stages import Stage, StageOutput
from millsight.platform.tracking import RunInfo, TrackingConfig, track

QUARANTINE_FILE = "quarantine.json"
EXIT_FAILED = 1
EXIT_QUARANTINED = 3

Finish = Callable[[StageOutput, Draft], Mapping[str, Any]]


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

    def finished(self) -> Artifact | None:
        """Return the artifact if it is there already.

        Raises:
            RefusedError: If the directory holds something else.
        """
        return find_artifact(self.path, self.recipe)

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
                return self._give_up(draft, report)
            merged = store.merge(shards)
            metrics = self._commit(draft, merged, finish)
            tracker.summary(metrics)
            artifact = draft.commit(metrics)
        return Outcome(EXIT_QUARANTINED if metrics["quarantined"] else 0, artifact)

    def _commit(self, draft: Draft, merged: StageOutput, finish: Finish) -> dict[str, Any]:
        quarantined = [asdict(item) for item in (*self.quarantined, *merged.quarantined)]
        text = json.dumps(quarantined, indent=2) + "\n"
        storage.write_bytes(draft.file(QUARANTINE_FILE), text.encode())
        metrics = dict(finish(merged, draft))
        return {"pictures": merged.rows.num_rows, "quarantined": len(quarantined)} | metrics

    def _give_up(self, draft: Draft, report: ExecutionReport) -> Outcome:
        from rich.console import Console

        console = Console(stderr=True)
        console.print(f"[bold red]{len(report.failed)} shards failed[/] after 3 attempts each:")
        for failed in report.failed:
            console.print(f"  {failed.shard_id}: {failed.error.strip().splitlines()[-1]}")
        console.print(
            f"Full errors are in {draft.path}/failed; what has landed is kept. Mend the cause and "
            "run the same command again."
        )
        return Outcome(EXIT_FAILED)


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
