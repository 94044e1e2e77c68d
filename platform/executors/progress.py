"""A progress bar on a terminal, plain lines now and then in a job's log."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Task, TextColumn
from rich.progress import Progress as RichProgress

LINE_EVERY_SECONDS = 30.0


class Progress:
    """Pictures done, rate and time left, on standard error so that results may go to the other.

    The rate counts this run's pictures since the workers were ready.

    Args:
        total: Pictures of the run.
        skipped: Those among them that an earlier run had done.
    """

    def __init__(self, total: int, skipped: int) -> None:
        self._total, self._skipped = total, skipped
        self._landed = self._failed = self._quarantined = 0
        self._console = Console(stderr=True, highlight=False)
        self._bar: RichProgress | None = None
        self._began = self._last_line = time.perf_counter()

    def start(self) -> None:
        """Show the bar, where there is a terminal."""
        if self._console.is_terminal:
            self._bar = RichProgress(
                BarColumn(), TextColumn("{task.description}"), console=self._console
            )
            self._bar.start()
            self._bar.add_task("starting workers", total=self._total, completed=self._skipped)
        elif self._skipped:
            self.say(f"{self._skipped:,} of {self._total:,} pictures were done by an earlier run")

    def stop(self) -> None:
        """Leave the last state standing; in a log, print it."""
        if self._bar is not None:
            self._bar.stop()
        elif self._landed or self._failed:
            self.say(self.line())

    def restart_clock(self) -> None:
        """Begin to count for the rate."""
        self._began = time.perf_counter()

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        self._console.print(message, soft_wrap=True, markup=False)

    def landed(self, pictures: int, quarantined: int) -> None:
        """Count a shard that landed; ``quarantined`` is how many of its pictures were set aside."""
        self._landed += pictures
        self._quarantined += quarantined
        self._update()

    def failed(self, pictures: int) -> None:
        """Count a shard that was given up."""
        self._failed += pictures
        self._update()

    def line(self) -> str:
        """Return the state in one line: counts, pictures per second and time left."""
        done = self._landed + self._failed
        seconds = time.perf_counter() - self._began
        rate = done / seconds if seconds > 0 else 0.0
        left = self._total - self._skipped - done
        eta = _clock(left / rate) if rate > 0 else "--:--"
        return (
            f"{done + self._skipped:,}/{self._total:,} pictures  {rate:.1f}/s  left {eta}  "
            f"landed {self._landed:,}  failed {self._failed:,}  quarantined {self._quarantined:,}"
        )

    def _update(self) -> None:
        if self._bar is not None:
            task: Task = self._bar.tasks[0]
            completed = self._skipped + self._landed + self._failed
            self._bar.update(task.id, completed=completed, description=self.line())
        elif time.perf_counter() - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = time.perf_counter()
            self.say(self.line())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
