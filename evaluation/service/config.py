"""What an operator may set of the evaluation service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from millsight.platform.services.config import ServiceConfig


@dataclass(kw_only=True)
class DatasetConfig:
    """A dataset to judge against.

    Attributes:
        name: Its id in addresses: lower-case letters, digits, dots, dashes and underscores.
        data: Folder of pictures in any layout, or a catalog.
        layout: auto, or the name of the layout to read the folder in.
        split: Judge these pictures only; all of them if not given.
        category: Material and line; judge this category only.
        labels: hidden: single pictures' truth is for admin tokens alone; open: for every reader.
        title: For people; the name if not given.
    """

    name: str
    data: str
    layout: str = "auto"
    split: str | None = None
    category: str | None = None
    labels: Literal["hidden", "open"] = "hidden"
    title: str | None = None


@dataclass(kw_only=True)
class ServeEvaluationConfig(ServiceConfig):
    """Settings of ``millsight serve evaluation``.

    Attributes:
        datasets: What can be judged against.
        server: uvicorn, or ray to run as a Ray Serve application.
        resamples: Of the bootstrap behind every interval.
        submissions_per_day: Of one token, unless admin, against one dataset with hidden labels;
            every answer tells a little about them.
        job_memory_gib: Memory of the process that opens a submission and judges it.
        job_minutes: A job that takes longer fails.
        max_unpacked_mib: A zip archive's files together, unpacked.
        requests_per_second: Per token, on the long run; each thumbnail of a gallery is one.
        request_burst: Per token, at once.
    """

    datasets: list[DatasetConfig] = field(default_factory=list)
    server: Literal["uvicorn", "ray"] = "uvicorn"
    resamples: int = 1000
    submissions_per_day: int = 100
    job_memory_gib: float = 8.0
    job_minutes: float = 60.0
    max_unpacked_mib: float = 4096.0
    requests_per_second: float = 200.0
    request_burst: int = 1000
