"""``millsight experiment table``; light to import."""

from __future__ import annotations

from dataclasses import dataclass, field

from millsight.platform.artifacts import Artifact, drafting, find_artifact, open_artifact
from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.pretraining.downstream.detection.experiment_commands import KIND as DETECTION
from millsight.pretraining.downstream.multitask.experiment_commands import KIND as MULTITASK

TABLE_KINDS = {DETECTION: "detection_table", MULTITASK: "multitask_table"}
VERDICT_KIND = "verdict"
SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class TableConfig(OutputConfig):
    """Settings of ``millsight experiment table``.

    Attributes:
        experiments: Artifacts of ``millsight experiment detection``, or of ``experiment
            multitask``, in the order of the table.
        trainings: Or finetunings of one kind, each ARM@SHOTS=RUN, for example ``+ copy-paste@10``:
            is an arm better than the reference, picture by picture and seed by seed? Seeds of an
            arm may be runs of their own.
        reference: Arm that the others are compared with; by default the first.
        name: Of the finetunings' data in the table; by default the category's.
    """

    experiments: list[str] = field(default_factory=list)
    trainings: list[str] = field(default_factory=list)
    reference: str | None = None
    name: str | None = None


def table(config: TableConfig) -> Outcome:
    """Put experiments of one kind, or finetunings with and without an arm, into one table."""
    if bool(config.experiments) == bool(config.trainings):
        raise UserError("--experiments or --trainings: name the one or the other.")
    if config.trainings:
        return Outcome(artifact=_verdict(config))
    return Outcome(artifact=_experiments(config))


def _experiments(config: TableConfig) -> Artifact:
    found = [open_artifact(path) for path in config.experiments]
    kinds = {str(artifact.manifest["kind"]) for artifact in found}
    if len(kinds) != 1 or not kinds <= TABLE_KINDS.keys():
        raise UserError(
            f"--experiments: holds {', '.join(sorted(kinds)) or 'nothing'}; name artifacts of "
            "`experiment detection`, or of `experiment multitask`."
        )
    (kind,) = kinds
    if kind == DETECTION:
        from millsight.pretraining.downstream.detection.experiment_table import compare, write_table
    else:
        from millsight.pretraining.downstream.multitask.experiment import compare, write_table
    inputs = {f"experiment_{i}": artifact.as_input() for i, artifact in enumerate(found)}
    recipe = Recipe(TABLE_KINDS[kind], SCHEMA_VERSION, {}, inputs)
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        with drafting(path, recipe) as draft:
            write_table(draft, found)
            artifact = draft.commit()
    print(compare(found))
    print(artifact.path)
    return artifact


def _verdict(config: TableConfig) -> Artifact:
    from millsight.platform import storage
    from millsight.pretraining.downstream.comparison import ALL
    from millsight.pretraining.downstream.verdict.trainings import open_trainings
    from millsight.pretraining.downstream.verdict.write import TEXT_FILE, write

    trainings = open_trainings(config.trainings)
    inputs = {
        f"{arm}@{shots or ALL} {seed}": run.as_input()
        for (arm, shots), by_seed in trainings.runs.items()
        for seed, run in by_seed.items()
    }
    settings = {"reference": config.reference, "name": config.name}
    recipe = Recipe(VERDICT_KIND, SCHEMA_VERSION, settings, inputs)
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        with drafting(path, recipe) as draft:
            write(draft, trainings, config.reference, config.name)
            artifact = draft.commit()
    print(storage.read_bytes(artifact.file(TEXT_FILE)).decode())
    print(artifact.path)
    return artifact
