"""``millsight generate procedural``."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from millsight.platform.artifacts import drafting, find_artifact
from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.fingerprints import Recipe

KIND = "procedural"
SCHEMA_VERSION = 3


@dataclass
class RenderConfig:
    """What to render.

    Attributes:
        count: Number of pictures.
        size: Side of the square pictures, 64 to 512 pixels.
        seed: Decides the whole set; the first pictures do not depend on ``count``.
        good_share: Share of flawless pictures, 0 to 1.
    """

    count: int = 240
    size: int = 256
    seed: int = 0
    good_share: float = 0.5


@dataclass
class GenerateConfig(RenderConfig, OutputConfig):
    """Settings of ``millsight generate procedural``: ``RenderConfig`` and ``OutputConfig``."""


def generate(config: GenerateConfig) -> Outcome:
    """Render labelled steel with exact masks, boxes and texts, in the MVTec layout."""
    from rich.progress import Progress

    from millsight.generators.procedural.dataset import write_dataset

    wanted = RenderConfig(config.count, config.size, config.seed, config.good_share)
    recipe = Recipe(KIND, SCHEMA_VERSION, asdict(wanted))
    path = config.path(recipe)
    if done := find_artifact(path, recipe):
        print(f"Rendered already: {done.path}")
        return Outcome(artifact=done)
    with drafting(path, recipe) as draft, Progress() as progress:
        bar = progress.add_task("Rendering", total=config.count)
        rows = write_dataset(
            Path(draft.path),
            count=config.count,
            size=(config.size, config.size),
            seed=config.seed,
            good_share=config.good_share,
            progress=lambda done: progress.update(bar, completed=done),
        )
        labels = Counter(str(row["label"]) for row in rows)
        artifact = draft.commit({"pictures": len(rows), "labels": dict(labels)})
    print(f"{len(rows)} pictures: {artifact.path}")
    return Outcome(artifact=artifact)
