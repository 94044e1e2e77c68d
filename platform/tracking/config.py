"""How runs are tracked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from millsight.platform import network
from millsight.platform.tracking.jsonl import JsonlTracker
from millsight.platform.tracking.tracker import MultiTracker, RunInfo, Status, Tracker
from millsight.platform.tracking.wandb_api import api_key
from millsight.platform.tracking.wandb_tracker import WandbTracker


@dataclass(frozen=True)
class TrackingConfig:
    """Where a run's numbers go.

    Attributes:
        wandb: ``online``, ``offline`` (files for ``millsight track sync``), ``disabled``, or
            ``auto``: what ``WANDB_MODE`` says, else online where an API key is found
            (``WANDB_API_KEY`` or netrc) and ``MILLSIGHT_OFFLINE`` is not set, else offline.
        project: W&B project.
        entity: W&B user or team; default: the key's own.
        group: What the run belongs to; in a recipe, the recipe's name by default.
        directory: Holds ``RUN_ID/run.jsonl`` for every run, and W&B's files in ``wandb/``.
    """

    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "millsight"
    entity: str | None = None
    group: str | None = None
    directory: str = "millsight-runs/tracking"

    def open(self, run: RunInfo) -> Tracker:
        """Begin to track a run, or go on with it; call on rank 0 alone."""
        run = replace(run, group=run.group or self.group)
        directory = Path(self.directory)
        jsonl = JsonlTracker(directory, run)
        mode = self.wandb_mode()
        if mode == "disabled":
            return jsonl
        wandb = WandbTracker(
            directory,
            run,
            mode,
            project=self.project,
            entity=self.entity,
            first_step=jsonl.next_step,
        )
        return MultiTracker((jsonl, wandb))

    def wandb_mode(self) -> Literal["online", "offline", "disabled"]:
        """Resolve ``auto``; online without a key becomes offline, with a warning."""
        asked = self.wandb if self.wandb != "auto" else os.environ.get("WANDB_MODE", "").lower()
        if asked == "disabled":
            return "disabled"
        if asked in ("offline", "dryrun") or network.is_forbidden():
            return "offline"
        if api_key() is not None:
            return "online"
        if asked == "online":
            warnings.warn(
                "W&B online needs a key: set WANDB_API_KEY or run `wandb login`; writing offline.",
                stacklevel=2,
            )
        return "offline"


@contextmanager
def track(config: TrackingConfig, run: RunInfo) -> Iterator[Tracker]:
    """Track a block: it ends as ``finished``, ``stopped`` (Ctrl-C) or ``failed``."""
    tracker = config.open(run)
    status: Status = "failed"
    try:
        yield tracker
        status = "finished"
    except KeyboardInterrupt:
        status = "stopped"
        raise
    finally:
        tracker.finish(status)
