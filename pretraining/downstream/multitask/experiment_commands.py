"""``millsight experiment multitask``; light to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from millsight.platform.artifacts import drafting, find_artifact
from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import TrackingConfig
from millsight.pretraining.downstream.multitask.config import MultitaskConfig

KIND = "multitask_experiment"
SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class ExperimentConfig(OutputConfig):
    """Settings of ``millsight experiment multitask``.

    Attributes:
        data: Folder of pictures in any layout, or a catalog; learns from its ``train`` split.
        name: Of the data in the table; by default the category's.
        layout: Of ``data``; ``auto`` looks at the folder.
        category: Material and line; only this one of a catalog that has several.
        split: Judged with the trained models.
        modes: What is compared.
        seeds: Trainings of each mode. Initial weights, order and holdout go with the seed, so a
            seed's modes start alike and see the same pictures.
        training: What decides the weights, but for ``mode`` and ``seed``.
        tracking: Who is told.
        accelerator: ``auto`` is the GPU if there is one.
        threads: CPU threads.
    """

    data: str
    name: str | None = None
    layout: str = "auto"
    category: str | None = None
    split: str = "test"
    modes: list[Literal["pixel", "joint", "gated"]] = field(
        default_factory=lambda: ["pixel", "joint", "gated"]
    )
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    training: MultitaskConfig = field(default_factory=MultitaskConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    threads: int = 2

    def check(self) -> None:
        """Refuse what compares nothing.

        Raises:
            UserError: Naming the flags.
        """
        for name, chosen in (("modes", self.modes), ("seeds", self.seeds)):
            if not chosen or len(set(chosen)) < len(chosen):
                raise UserError(f"--{name} {chosen}: at least one, each once.")


def experiment(config: ExperimentConfig) -> Outcome:
    """Train every mode with every seed, skipping what is trained already, and compare them."""
    config.check()
    from millsight.pretraining.downstream.multitask.experiment import compare, train_all, write

    trained = train_all(config)
    inputs = {f"{mode}_{seed}": run.as_input() for (mode, seed), run in trained.items()}
    recipe = Recipe(KIND, SCHEMA_VERSION, {"name": config.name}, inputs)
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        with drafting(path, recipe) as draft:
            write(draft, config.name, trained)
            artifact = draft.commit()
    print(compare([artifact]))
    print(artifact.path)
    return Outcome(artifact=artifact)
