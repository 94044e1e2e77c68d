"""What a run measured, kept: JSON Lines always, Weights & Biases beside it."""

from millsight.platform.tracking.config import TrackingConfig, track
from millsight.platform.tracking.reader import RunRecord, read_runs
from millsight.platform.tracking.tracker import MultiTracker, RunInfo, Tracker
from millsight.platform.tracking.values import Overlay

__all__ = [
    "MultiTracker",
    "Overlay",
    "RunInfo",
    "RunRecord",
    "Tracker",
    "TrackingConfig",
    "read_runs",
    "track",
]
