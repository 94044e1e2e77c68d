"""``millsight experiment detection``; light to import."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from millsight.platform.artifacts import drafting, find_artifact
from millsight.platform.commands import EXIT_QUARANTINED, Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.executors.tasks import TaskExecutionConfig
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import TrackingConfig
from millsight.pretraining.downstream.detection.config import FinetuningConfig

KIND = "detection_experiment"
SCHEMA_VERSION = 1
SCRATCH = "scratch"
# What an experiment sets itself, for each training.
TAKEN = ("labelled", "seed")


@dataclass(kw_only=True)
class DetectionExperimentConfig(OutputConfig):
    """Settings of ``millsight experiment detection``.

    Attributes:
        data: Folder of pictures with boxes in any layout, or a catalog; learns from its ``train``
            split.
        starts: What is compared, each NAME=START. START is what finetuning starts from: an artifact
            of ``millsight pretrain backbone`` or ``pretrain detector``, a source of a backbone's
            weights such as ``timm:resnet50``, or ``scratch``, which is ``training.backbone``
            untrained.
        reference: Name of the start that the others are compared with, pair by pair; by default the
            first.
        labelled: Numbers of labelled pictures to learn from; ``null`` is all there are.
        seeds: Trainings of each start with each number. Pictures, order and new layers go with the
            seed, so a seed's starts see the same pictures.
        steps: Batches that each training learns from, whatever its number of pictures: few are seen
            more often, and validated ``validations`` times. By default ``training.epochs``, which
            also holds for ``null``.
        validations: How often within these steps the weights are validated.
        name: Of the data in the table; by default the category's.
        layout: Of ``data``; ``auto`` looks at the folder.
        category: Material and line; only this one of a catalog that has several.
        split: Judged with the finetuned detectors.
        training: What else decides the weights.
        execution: Where the trainings run: ``local``, one after another, or ``ray``.
        tracking: Who is told.
        accelerator: ``auto`` is the GPU if there is one; on Ray, if a worker has one.
        threads: CPU threads; on Ray, ``execution.cpus_per_worker``.
        loaders: Processes of each training that read pictures ahead; 0 reads them between the
            steps.
    """

    data: str
    starts: list[str]
    reference: str | None = None
    labelled: list[int | None] = field(default_factory=lambda: [50, 200, 500])
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    steps: int | None = None
    validations: int = 10
    name: str | None = None
    layout: str = "auto"
    category: str | None = None
    split: str = "test"
    training: FinetuningConfig = field(default_factory=FinetuningConfig)
    execution: TaskExecutionConfig = field(default_factory=TaskExecutionConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    threads: int = 2
    loaders: int = 0

    def named_starts(self) -> dict[str, str]:
        """Return the starts by name.

        Raises:
            UserError: If one has no name, or two have the same.
        """
        pairs = [start.partition("=")[::2] for start in self.starts]
        named = {name.strip(): source.strip() for name, source in pairs}
        different = len({*named}) == len({*named.values()}) == len(pairs)
        if not pairs or not different or not all((*named, *named.values())):
            raise UserError(
                f"--starts {self.starts}: at least one, each NAME=START, no name or start twice, "
                "for example ImageNet=embedded:efficientnet-lite0."
            )
        return named

    def epochs(self, labelled: int | None) -> int:
        """Return how often a training sees its pictures."""
        if self.steps is None or labelled is None:
            return self.training.epochs
        return math.ceil(self.steps / (labelled // self.training.batch_size))

    def check(self) -> None:
        """Refuse what compares nothing, or cannot be trained.

        Raises:
            UserError: Naming the setting.
        """
        named = self.named_starts()
        self.training.check()
        self.execution.check()
        for name, chosen in (("labelled", self.labelled), ("seeds", self.seeds)):
            if not chosen or len(set(chosen)) < len(chosen):
                raise UserError(f"--{name} {chosen}: at least one, each once.")
        if self.reference is not None and self.reference not in named:
            raise UserError(f"--reference {self.reference}: --starts names {', '.join(named)}.")
        fewest = min(count for count in (*self.labelled, math.inf) if count is not None)
        if fewest < self.training.batch_size:
            raise UserError(
                f"--labelled {fewest} is less than --training.batch_size "
                f"{self.training.batch_size}; lower that."
            )
        if (self.steps is not None and self.steps < 1) or self.validations < 1:
            raise UserError("--steps and --validations: at least 1.")
        set_here = [name for name in TAKEN if getattr(self.training, name)]
        if set_here:
            raise UserError(
                f"--training.{set_here[0]}: an experiment has --starts, --labelled and --seeds."
            )


def experiment(config: DetectionExperimentConfig) -> Outcome:
    """Finetune detectors from several starts, with few labels, and compare them seed by seed."""
    config.check()
    from millsight.pretraining.downstream.detection.experiment import finetune_all, write
    from millsight.pretraining.downstream.detection.experiment_table import describe

    trained = finetune_all(config)
    reference = config.reference or next(iter(config.named_starts()))
    inputs = {str(key): run.as_input() for key, run in trained.items()}
    recipe = Recipe(KIND, SCHEMA_VERSION, {"name": config.name, "reference": reference}, inputs)
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        with drafting(path, recipe) as draft:
            write(draft, config.name, reference, trained)
            artifact = draft.commit()
    print(describe(artifact))
    print(artifact.path)
    set_aside = any(run.manifest["metrics"]["quarantined"] for run in trained.values())
    return Outcome(EXIT_QUARANTINED if set_aside else 0, artifact)
