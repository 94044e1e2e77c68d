"""What a tracker is asked to do, and several of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from millsight.platform.tracking.values import Curve, Overlay, Picture, Row, Scalar

Status: TypeAlias = Literal["finished", "failed", "stopped"]


@dataclass(frozen=True)
class RunInfo:
    """Which run this is.

    Attributes:
        name: The stage, for example ``"extract"``.
        fingerprint: Of the artifact in the making; the same fingerprint goes on with the same run.
        config: JSON-like configuration.
        group: The recipe it belongs to.
        tags: Free words to find it by.
    """

    name: str
    fingerprint: str
    config: Mapping[str, Any] = field(default_factory=dict)
    group: str | None = None
    tags: Sequence[str] = ()

    @property
    def id(self) -> str:
        """Deterministic: name and the first 16 hex digits of the fingerprint."""
        return f"{self.name}-{self.fingerprint[:16]}"


class Tracker(Protocol):
    """Where a run's numbers go. One per run, on rank 0, fed from one thread."""

    def log(self, metrics: Mapping[str, Scalar], step: int | None = None) -> None:
        """Add to the history; without ``step``, one more than the last."""

    def log_pictures(
        self, name: str, pictures: Mapping[str, Picture | Overlay], step: int | None = None
    ) -> None:
        """Keep pictures by caption: files, uint8 arrays (H, W) or RGB (H, W, 3), or overlays."""

    def table(self, name: str, rows: Sequence[Row]) -> None:
        """Keep a whole table; a later one of the same name replaces it.

        Of a table with an ``Overlay`` in a cell, the first ``TABLE_PICTURES`` rows are kept.
        """

    def curve(self, name: str, points: Curve) -> None:
        """Keep curves over one x axis; a later one of the same name replaces it.

        Args:
            name: For example ``"precision_recall"``.
            points: Columns of equal length, x first, for example ``{"recall": ..., "precision":
                ...}``. ``CURVE_POINTS`` points at most are kept.

        Raises:
            ValueError: If the columns are fewer than two or differ in length.
        """

    def summary(self, metrics: Mapping[str, Scalar]) -> None:
        """Set the run's headline numbers."""

    def finish(self, status: Status = "finished") -> None:
        """End the run; nothing may be logged after."""


@dataclass(frozen=True)
class MultiTracker:
    """Hands everything to each of ``trackers``, in order."""

    trackers: Sequence[Tracker]

    def log(self, metrics: Mapping[str, Scalar], step: int | None = None) -> None:
        """See ``Tracker.log``."""
        for tracker in self.trackers:
            tracker.log(metrics, step)

    def log_pictures(
        self, name: str, pictures: Mapping[str, Picture | Overlay], step: int | None = None
    ) -> None:
        """See ``Tracker.log_pictures``."""
        for tracker in self.trackers:
            tracker.log_pictures(name, pictures, step)

    def table(self, name: str, rows: Sequence[Row]) -> None:
        """See ``Tracker.table``."""
        for tracker in self.trackers:
            tracker.table(name, rows)

    def curve(self, name: str, points: Curve) -> None:
        """See ``Tracker.curve``."""
        for tracker in self.trackers:
            tracker.curve(name, points)

    def summary(self, metrics: Mapping[str, Scalar]) -> None:
        """See ``Tracker.summary``."""
        for tracker in self.trackers:
            tracker.summary(metrics)

    def finish(self, status: Status = "finished") -> None:
        """See ``Tracker.finish``."""
        for tracker in self.trackers:
            tracker.finish(status)
