"""What every command shares: where it writes, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass

from millsight.platform.artifacts import Artifact
from millsight.platform.fingerprints import Recipe

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
