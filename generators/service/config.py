"""What an operator may set of the generation service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from millsight.generators.copy_paste.engine import CopyPasteConfig
from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.filters.config import BudgetConfig, FilterConfig
from millsight.generators.procedural.engine import ProceduralConfig
from millsight.platform.errors import UserError
from millsight.platform.services.config import ServiceConfig


@dataclass(kw_only=True)
class CatalogConfig:
    """Real pictures that sets are made from.

    Attributes:
        name: Its id in requests: lower-case letters, digits, dots, dashes and underscores.
        data: Folder of pictures in any layout, or a catalog; its training split is used.
        layout: ``auto``, or the name of the layout to read the folder in.
        category: Material and line; this category only.
        title: For people; the name if not given.
    """

    name: str
    data: str
    layout: str = "auto"
    category: str | None = None
    title: str | None = None


@dataclass(kw_only=True)
class BaseConfig:
    """A base model to draw with.

    Attributes:
        name: Its id in requests.
        diffusion: Where it lies and how it draws; requests choose adapter and prompt.
        title: For people; the name if not given.
    """

    name: str
    diffusion: DiffusionConfig
    title: str | None = None


@dataclass(kw_only=True)
class AdapterConfig:
    """An adapter of a base model.

    Attributes:
        name: Its id in requests.
        base: Name of the base model that it was trained on.
        folder: What ``millsight generate train`` made.
        context: How far crops reach beyond a defect, best as in its training; by default as the
            base model's settings say.
        title: For people; the name if not given.
    """

    name: str
    base: str
    folder: str
    context: float | None = None
    title: str | None = None


def _embedded() -> list[BaseConfig]:
    return [BaseConfig(name="micro", diffusion=DiffusionConfig(), title="Micro diffusion")]


@dataclass(kw_only=True)
class ServeGenerationConfig(ServiceConfig):
    """Settings of ``millsight serve generation``.

    Attributes:
        catalogs: What sets can be made from.
        bases: Base models of modes ``variation``, ``inpaint`` and ``text``.
        adapters: What base models can be changed by.
        procedural: Of mode ``procedural``.
        copy_paste: Of mode ``copy_paste``.
        filters: How strictly pictures are judged.
        scorer: Who says whether a defect stands out as an anomaly; by default nobody is asked.
        budget: How much is tried for a set.
        server: ``uvicorn``, or ``ray`` to run as a Ray Serve application.
        replicas: Processes that make pictures; each holds one base model at a time, and up to eight
            of its adapters.
        device: Torch device of the replicas; ``auto`` is the GPU if there is one.
        threads: Torch's threads in each replica; by default as many as torch takes.
        shard_size: Pictures that a replica makes and hands over together.
        max_count: Pictures in one set.
        max_steps: Denoising steps.
        megapixel_steps_per_day: What a token may spend in 24 hours: megapixels drawn x steps done.
        megabytes_per_token: Disk that a token's sets may take.
        keep_downloaded_days: A set that was downloaded goes so long after.
        keep_days: A set that nobody downloaded goes so long after it was made.
        workers: Sets in the making at once; they share the replicas in turn.
        max_queued: Sets waiting or in the making in all.
        max_queued_per_token: The same of one token.
        requests_per_second: Per token, on the long run; each thumbnail is one.
        request_burst: Per token, at once.
    """

    catalogs: list[CatalogConfig] = field(default_factory=list)
    bases: list[BaseConfig] = field(default_factory=_embedded)
    adapters: list[AdapterConfig] = field(default_factory=list)
    procedural: ProceduralConfig = field(default_factory=ProceduralConfig)
    copy_paste: CopyPasteConfig = field(default_factory=CopyPasteConfig)
    filters: FilterConfig = field(default_factory=FilterConfig)
    scorer: str | None = None
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    server: Literal["uvicorn", "ray"] = "uvicorn"
    replicas: int = 1
    device: str = "auto"
    threads: int | None = None
    shard_size: int = 8
    max_count: int = 1000
    max_steps: int = 100
    megapixel_steps_per_day: float = 50_000.0
    megabytes_per_token: float = 4096.0
    keep_downloaded_days: float = 7.0
    keep_days: float = 90.0
    workers: int = 4
    max_queued: int = 200
    max_queued_per_token: int = 50
    requests_per_second: float = 200.0
    request_burst: int = 1000

    def check(self) -> None:
        """Refuse settings that nothing can be made with.

        Raises:
            UserError: Naming the setting.
        """
        for name in ("replicas", "threads", "shard_size", "max_count", "max_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} {value}: at least 1.")
        for part in (self.procedural, self.copy_paste, self.filters, self.budget):
            part.check()
