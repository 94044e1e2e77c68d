"""A job as clients see it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel

from millsight.platform.services.jobs import Job, JobState


class JobView(BaseModel):
    """A job; of what was asked for, the title alone.

    Attributes:
        id: 32 hex digits.
        kind: What kind of work.
        title: What was asked for, in the service's own words.
        state: queued, running, done, failed or cancelled.
        version: Grows by one with every change.
        done: Units of work finished.
        total: Units of work in all; 0 while unknown.
        message: What is being done.
        attempts: How often work on it began.
        cancelling: Its end was asked for and is being waited for.
        result: What came of it, once done; null stands for an undefined number.
        error: Why it failed, or why the last attempt did.
        created: When it was submitted.
        updated: When it last changed.
    """

    id: str
    kind: str
    title: str
    state: JobState
    version: int
    done: int
    total: int
    message: str
    attempts: int
    cancelling: bool
    result: dict[str, Any] | None
    error: str | None
    created: datetime
    updated: datetime

    @classmethod
    def of(cls, job: Job) -> Self:
        """Show a job."""
        values = {name: getattr(job, name) for name in cls.model_fields if name != "title"}
        values["title"] = job.request.get("title", "")
        for name in ("created", "updated"):
            values[name] = datetime.fromtimestamp(values[name], UTC)
        return cls(**values)
