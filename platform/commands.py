"""What commands share: where they write, how they train, and what they hand back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from millsight.platform.artifacts import Artifact, discard, find_artifact, has_begun
from millsight.platform.errors import UserError
from millsight.platform.executors.training import TrainingExecutionConfig
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import TrackingConfig

EXIT_FAILED = 1
EXIT_QUARANTINED = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended.

    Attributes:
        exit_code: 0 done; ``EXIT_FAILED`` not done, or a check failed; ``EXIT_QUARANTINED`` done,
            but pictures were set aside. The output says which and why.
        artifact: What it made or found made already, for the next step of a recipe.
    """

    exit_code: int = 0
    artifact: Artifact | None = None


@dataclass
class OutputConfig:
    """Where a command writes.

    Attributes:
        workspace: Directory that gets one sub-directory per artifact, named by its fingerprint.
        output: One directory to write to instead; refused where it holds something else.
    """

    workspace: str = "millsight-runs"
    output: str | None = None

    def path(self, recipe: Recipe) -> str:
        """Return the artifact's directory."""
        return self.output or f"{self.workspace}/{recipe.kind}-{recipe.fingerprint[:12]}"


@dataclass
class TrainingOutputConfig(OutputConfig):
    """Where a training writes, and what becomes of an earlier run of the very same settings.

    Left alone, an unfinished one is gone on with after its last whole epoch, and a finished one is
    shown again. Starting from other weights is another training: ``--weights`` names a whole
    detector, ``--training.backbone`` or ``--training.encoder`` what is under a new one.

    Attributes:
        resume: Insist on an earlier run of the same settings: refuse to begin a new one.
        fresh: Remove the earlier run of the same settings, finished or not, and start over. Weights
            to start from are named by another flag.
    """

    resume: bool = False
    fresh: bool = False

    def find(self, recipe: Recipe) -> Artifact | None:
        """Return what a finished earlier run made, as ``resume`` and ``fresh`` say.

        Raises:
            UserError: If both are set, or ``resume`` is and there is no earlier run.
            RefusedError: If something else lies where the artifact belongs, or another run is
                writing it.
        """
        if self.resume and self.fresh:
            raise UserError("--resume goes on with a run, --fresh removes it; name one of them.")
        path = self.path(recipe)
        if self.fresh:
            discard(path, recipe)
        artifact = find_artifact(path, recipe)
        if self.resume and artifact is None and not has_begun(path, recipe):
            raise UserError(
                f"--resume: {path} holds no run of these settings, finished or not. Give the very "
                "settings of that run, --workspace or --output too, or leave --resume out to begin."
            )
        return artifact


@dataclass(kw_only=True)
class TrainingCommandConfig(TrainingOutputConfig):
    """How a training runs and who hears of it; nothing here changes what one worker learns.

    Attributes:
        execution: Where to train: ``local``, this process, or ``ray``.
        tracking: Who is told.
        accelerator: ``auto`` is the GPU if there is one.
        threads: CPU threads.
    """

    execution: TrainingExecutionConfig = field(default_factory=TrainingExecutionConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    threads: int = 2
