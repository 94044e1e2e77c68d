"""``millsight experiment table``; light to import."""

from __future__ import annotations

from dataclasses import dataclass

from millsight.platform.artifacts import drafting, find_artifact, open_artifact
from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.pretraining.downstream.detection.experiment_commands import KIND as DETECTION
from millsight.pretraining.downstream.multitask.experiment_commands import KIND as MULTITASK

TABLE_KINDS = {DETECTION: "detection_table", MULTITASK: "multitask_table"}
SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class TableConfig(OutputConfig):
    """Settings of ``millsight experiment table``.

    Attributes:
        experiments: Artifacts of ``millsight experiment detection``, or of ``experiment
            multitask``, in the order of the table.
    """

    experiments: list[str]


def table(config: TableConfig) -> Outcome:
    """Put experiments of one kind into one table (Markdown, CSV, JSON) and one figure."""
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
    return Outcome(artifact=artifact)
