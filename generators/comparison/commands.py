"""``millsight generate compare``; light to import."""

from __future__ import annotations

from dataclasses import dataclass, field

from millsight.platform import storage
from millsight.platform.artifacts import drafting, find_artifact
from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import RunInfo, TrackingConfig, track

KIND = "synthetic_comparison"
SCHEMA_VERSION = 1
TEXT_FILE = "comparison.md"


@dataclass(kw_only=True)
class CompareConfig(OutputConfig):
    """Settings of ``millsight generate compare``.

    Attributes:
        data: Folder of real pictures in any layout, or a catalog: what the sets were made from is
            its ``train`` split, what they are held against its others.
        sets: Folders of synthetic pictures, each NAME=SET: ``set`` in an artifact of ``millsight
            generate sample``, for example. Those of one name are taken together.
        layout: Of ``data``; ``auto`` looks at the folder.
        category: Material and line; only this one of a catalog that has several.
        network: In whose features pictures are compared: any timm weights.
        neighbours: How many of them make a neighbourhood of precision and recall.
        tracking: Who is told.
    """

    data: str
    sets: list[str]
    layout: str = "auto"
    category: str | None = None
    network: str = "embedded:efficientnet-lite0"
    neighbours: int = 3
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def named_sets(self) -> dict[str, list[str]]:
        """Return the sets' folders by name.

        Raises:
            UserError: If there is none, or one has no name.
        """
        found: dict[str, list[str]] = {}
        for entry in self.sets:
            name, _, path = (part.strip() for part in entry.partition("="))
            if not name or not path:
                raise UserError(
                    f"--sets {entry}: NAME=SET, for example copy-paste=millsight-runs/"
                    "generated-.../set"
                )
            found.setdefault(name, []).append(path)
        if not found:
            raise UserError("--sets: name at least one, NAME=SET.")
        return found


def compare(config: CompareConfig) -> Outcome:
    """Hold sets of synthetic pictures against real ones: KID, precision, diversity, copies."""
    named = config.named_sets()
    if config.neighbours < 1:
        raise UserError(f"--neighbours {config.neighbours}: at least 1.")
    from millsight.generators.comparison.compare import Sources, make
    from millsight.platform.catalog.catalog import load_data
    from millsight.platform.catalog.synthetic_sets import open_sets
    from millsight.platform.weights import load_weights

    sources = Sources(
        load_data(config.data, config.layout, config.category),
        {name: open_sets(paths, "--sets") for name, paths in named.items()},
        load_weights(config.network),
    )
    sources.labels()
    recipe = Recipe(
        KIND,
        SCHEMA_VERSION,
        {"neighbours": config.neighbours},
        sources.inputs(),
        {"features": sources.weights.fingerprint},
    )
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        info = RunInfo(KIND, recipe.fingerprint, dict(recipe.config))
        with drafting(path, recipe) as draft, track(config.tracking, info) as tracker:
            metrics = make(sources, config.neighbours, draft, tracker)
            tracker.summary(metrics)
            artifact = draft.commit(metrics)
    print(storage.read_bytes(artifact.file(TEXT_FILE)).decode())
    print(artifact.path)
    return Outcome(artifact=artifact)
