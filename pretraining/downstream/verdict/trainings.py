"""Finetunings by arm, shots and seed, made comparable seed by seed and picture by picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from millsight.evaluation.metrics.results import BootstrapConfig, Row
from millsight.evaluation.results import table as tables
from millsight.platform.artifacts import Artifact, open_artifact
from millsight.platform.errors import UserError
from millsight.pretraining.downstream import seeds
from millsight.pretraining.downstream.classification.commands import KIND as CLASSIFIED
from millsight.pretraining.downstream.classification.commands import SEEDS_KIND as CLASSIFIED_SEEDS
from millsight.pretraining.downstream.comparison import ALL
from millsight.pretraining.downstream.detection.commands import KIND as DETECTED
from millsight.pretraining.downstream.detection.commands import SEEDS_KIND as DETECTED_SEEDS
from millsight.pretraining.downstream.judging import (
    CLASSIFICATION,
    DETECTION,
    MULTITASK,
    Judged,
    judge_run,
)
from millsight.pretraining.downstream.multitask.commands import KIND as MULTITASKED

FORM = re.compile(rf"(?P<arm>.+)@(?P<shots>[1-9]\d*|{ALL})=(?P<run>.+)")
JUDGED = {DETECTED: DETECTION, CLASSIFIED: CLASSIFICATION, MULTITASKED: MULTITASK}
OVER_SEEDS = {DETECTED_SEEDS: DETECTED, CLASSIFIED_SEEDS: CLASSIFIED}


@dataclass(frozen=True)
class Trainings:
    """Finetunings of one kind on one test split.

    Attributes:
        judged: What they are judged by.
        runs: By arm and shots (``None`` for all), then by seed; equal shots have equal seeds.
        left_out: Sentences on seeds that not every arm has.
        data: Name of the test pictures' category.
    """

    judged: Judged
    runs: Mapping[tuple[str, int | None], Mapping[int, Artifact]]
    left_out: tuple[str, ...]
    data: str

    def measure(self, bootstrap: BootstrapConfig) -> dict[tuple[str, int | None], list[Row]]:
        """Judge every one on the same resamples of the same pictures."""
        return {
            key: [judge_run(run, self.judged, bootstrap) for run in by_seed.values()]
            for key, by_seed in self.runs.items()
        }

    def synthetic(self) -> dict[tuple[str, int | None], list[int]]:
        """Return how many synthetic pictures each of them learnt."""
        # Multi-task trainings of before there was --extra do not say.
        return {
            key: [int(run.manifest["metrics"].get("synthetic_learned", 0)) for run in runs.values()]
            for key, runs in self.runs.items()
        }


def open_trainings(words: Sequence[str]) -> Trainings:
    """Open what ``--trainings`` names.

    Args:
        words: Each ARM@SHOTS=RUN: RUN is an artifact of a finetuning, over seeds or of one.

    Raises:
        UserError: If one has another form or kind, two are of one arm, shots and seed, they differ
            in their test pictures, or arms of equal shots share no seed.
    """
    found: dict[tuple[str, int | None], dict[int, Artifact]] = {}
    kinds = set()
    for word in words:
        match = FORM.fullmatch(word)
        if match is None:
            raise UserError(f"--trainings {word}: ARM@SHOTS=RUN, such as '+ copy-paste@10=RUN'.")
        shots = None if match["shots"] == ALL else int(match["shots"])
        artifact = open_artifact(match["run"])
        kind = str(artifact.manifest["kind"])
        kinds.add(OVER_SEEDS.get(kind, kind))
        of_arm = found.setdefault((match["arm"].strip(), shots), {})
        for seed, run in _by_seed(artifact).items():
            if seed in of_arm:
                raise UserError(f"--trainings {word}: seed {seed} of this arm is there already.")
            of_arm[seed] = run
    if len(kinds) != 1 or not kinds <= JUDGED.keys():
        raise UserError(
            f"--trainings: hold {', '.join(sorted(kinds)) or 'nothing'}; name artifacts of one of "
            "`finetune classification`, `finetune detection` and `finetune multitask`."
        )
    runs, left_out = _common(found)
    return Trainings(JUDGED[kinds.pop()], runs, left_out, _check_pictures(runs))


def _by_seed(artifact: Artifact) -> dict[int, Artifact]:
    if artifact.manifest["kind"] in OVER_SEEDS:
        return seeds.read(artifact)
    return {int(artifact.config.get("seed", 0)): artifact}


def _common(
    found: Mapping[tuple[str, int | None], Mapping[int, Artifact]],
) -> tuple[dict[tuple[str, int | None], dict[int, Artifact]], tuple[str, ...]]:
    """Keep the seeds that all arms of equal shots have."""
    runs, told = {}, []
    for shots in dict.fromkeys(count for _, count in found):
        of_shots = {arm: by_seed for (arm, count), by_seed in found.items() if count == shots}
        shared = set.intersection(*(set(by_seed) for by_seed in of_shots.values()))
        if not shared:
            raise UserError(
                f"--trainings: at {shots or ALL} shots no seed is shared by {', '.join(of_shots)}."
            )
        for arm, by_seed in of_shots.items():
            runs[arm, shots] = {seed: by_seed[seed] for seed in sorted(shared)}
            if others := sorted(set(by_seed) - shared):
                told.append(
                    f"{arm} at {shots or ALL} shots: left out seeds {others}, which others lack."
                )
    return runs, tuple(told)


def _check_pictures(runs: Mapping[tuple[str, int | None], Mapping[int, Artifact]]) -> str:
    """Return the category of the pictures that all of them predicted."""
    first: list[str] | None = None
    category = ""
    for by_seed in runs.values():
        for run in by_seed.values():
            table = tables.read_table(run.file(tables.FILE))
            shown = table.column("sample_id").to_pylist()
            if first is None:
                first, category = shown, str(table.column("category")[0].as_py())
            elif shown != first:
                raise UserError(
                    f"--trainings: {run.path} predicted other pictures than the first one; only "
                    "finetunings that were tested on the same pictures can be paired."
                )
    return category
