"""``millsight data inspect``, ``convert``, ``split`` and ``draw``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millsight.platform.artifacts import Artifact, drafting, find_artifact
from millsight.platform.commands import EXIT_QUARANTINED, Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from millsight.platform.catalog.catalog import Catalog, Progress
    from millsight.platform.catalog.duplicates import DuplicateReport

SHOWN = 20


@dataclass(kw_only=True)
class InspectConfig:
    """What to look at.

    Attributes:
        data: Folder of pictures in any layout, or a catalog.
        layout: auto, or the name of the layout to read the folder in.
        category: Material and line; by default the folder's name.
        near: Look for near duplicates too, which decodes every picture.
    """

    data: str
    layout: str = "auto"
    category: str | None = None
    near: bool = True


@dataclass(kw_only=True)
class ConvertConfig(OutputConfig):
    """What to make a catalog of.

    Attributes:
        data: Folder of pictures in any layout, or a catalog.
        layout: auto, or the name of the layout to read the folder in.
        category: Material and line; by default the folder's name.
    """

    data: str
    layout: str = "auto"
    category: str | None = None


@dataclass(kw_only=True)
class SplitConfig(OutputConfig):
    """What to split, and how.

    Attributes:
        data: Folder of pictures in any layout, or a catalog.
        layout: auto, or the name of the layout to read the folder in.
        category: Material and line; by default the folder's name.
        train: Share of the pictures to learn from.
        val: Share of the pictures to choose by.
        test: Share of the pictures to report on.
        seed: Another seed gives another division.
        near: Keep near duplicates together where pictures have no group.
        previous: Catalog split earlier, whose pictures keep their place.
    """

    data: str
    layout: str = "auto"
    category: str | None = None
    train: float = 0.6
    val: float = 0.2
    test: float = 0.2
    seed: int = 0
    near: bool = True
    previous: str | None = None


@dataclass(kw_only=True)
class DrawConfig(OutputConfig):
    """How few pictures to learn from.

    Attributes:
        data: Folder of pictures in any layout, or a catalog, with a ``train`` split.
        layout: auto, or the name of the layout to read the folder in.
        category: Material and line; by default the folder's name.
        shots: Training pictures of each defect class; the five drawn by a seed are among its ten.
            A rarer class keeps all it has.
        good: Good training pictures, drawn likewise; by default all.
        validated: Pictures of each class, good ones included, that become a ``val`` split, drawn
            from other groups than those learnt from; for data that has none.
        seed: Another seed draws others.
    """

    data: str
    layout: str = "auto"
    category: str | None = None
    shots: int = 10
    good: int | None = None
    validated: int | None = None
    seed: int = 0

    def check(self) -> None:
        """Refuse what draws nothing.

        Raises:
            UserError: Naming the flag.
        """
        for name, least in (("shots", 1), ("good", 0), ("validated", 1)):
            count = getattr(self, name)
            if count is not None and count < least:
                raise UserError(f"--{name} {count}: at least {least}.")


def inspect(config: InspectConfig) -> Outcome:
    """Show what is in a folder or catalog: layout, counts, damage, duplicates."""
    from millsight.platform.catalog.duplicates import find_duplicates

    catalog = _read(config.data, config.layout, config.category)
    _print_summary(catalog)
    with _progress("comparing") as progress:
        report = find_duplicates(catalog, near=config.near, progress=progress)
    _print_duplicates(catalog, report)
    _print_quarantined("set aside when decoded", report.quarantined)
    return Outcome()


def convert(config: ConvertConfig) -> Outcome:
    """Write a folder of pictures, in any layout, as a catalog."""
    catalog = _read(config.data, config.layout, config.category)
    _print_summary(catalog)
    return _outcome(catalog, write_artifact(catalog, config, {}))


def split(config: SplitConfig) -> Outcome:
    """Divide pictures into train, val and test; one physical object stays on one side."""
    from millsight.platform.catalog.catalog import load_data
    from millsight.platform.catalog.splits import split as split_catalog

    catalog = _read(config.data, config.layout, config.category)
    previous = None if config.previous is None else load_data(config.previous)
    shares = {"train": config.train, "val": config.val, "test": config.test}
    with _progress("comparing") as progress:
        divided = split_catalog(
            catalog, shares, config.seed, near=config.near, previous=previous, progress=progress
        )
    _print_summary(divided)
    made_with = {"shares": shares, "seed": config.seed, "near": config.near}
    return _outcome(divided, write_artifact(divided, config, made_with))


def draw(config: DrawConfig) -> Outcome:
    """Keep few training pictures of each class, and val and test as they are."""
    config.check()
    from millsight.platform.catalog.draw import draw_shots

    catalog = _read(config.data, config.layout, config.category)
    drawn = draw_shots(
        catalog, config.shots, config.seed, good=config.good, validated=config.validated
    )
    _print_summary(drawn)
    names = ("shots", "good", "validated", "seed")
    made_with = {"drawn": {name: getattr(config, name) for name in names}}
    return _outcome(drawn, write_artifact(drawn, config, made_with))


def write_artifact(catalog: Catalog, to: OutputConfig, made_with: dict[str, Any]) -> Artifact:
    """Write a catalog artifact, unless it is there already.

    Args:
        catalog: Payload, written as ``catalog.parquet``.
        to: Where.
        made_with: Settings that the catalog's splits came from, for lineage.

    Raises:
        RefusedError: If the directory holds something else.
    """
    from millsight.platform.catalog import catalog as catalogs
    from millsight.platform.catalog.sample import SCHEMA_VERSION

    recipe = Recipe(
        kind=catalogs.KIND,
        schema_version=SCHEMA_VERSION,
        config={"layout": catalog.layout, **made_with},
        inputs={"data": Input(catalog.fingerprint, catalog.uri)},
    )
    path = to.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        with drafting(path, recipe) as draft:
            catalog.write(draft.file(catalogs.FILE))
            counts = {"pictures": len(catalog), "quarantined": len(catalog.quarantined)}
            artifact = draft.commit(counts)
    _console().print(f"catalog: {artifact.path}", soft_wrap=True, markup=False)
    return artifact


def _outcome(catalog: Catalog, artifact: Artifact) -> Outcome:
    return Outcome(EXIT_QUARANTINED if catalog.quarantined else 0, artifact)


def _read(data: str, layout: str, category: str | None) -> Catalog:
    from millsight.platform.catalog.catalog import load_data

    with _progress("reading") as progress:
        return load_data(data, layout, category, progress, empty=True)


def _print_summary(catalog: Catalog) -> None:
    from rich.table import Table

    console, summary = _console(), catalog.summary()
    console.print(f"{summary['uri']}: {summary['pictures']} pictures", markup=False)
    console.print(f"layout {summary['layout']}: {summary['evidence']}", markup=False)
    table = Table(box=None, header_style="bold")
    names = ("category", "split", "label", "pictures", "masks", "boxed", "boxes")
    for name in names:
        table.add_column(name, justify="left" if name in names[:3] else "right")
    for row in summary["counts"]:
        table.add_row(*(str(row[name]) for name in names))
    if summary["counts"]:
        console.print(table)
    sizes = [f"{size} ({count})" for size, count in summary["sizes"].items()]
    console.print(f"sizes: {', '.join(sizes[:6])}{' ...' if len(sizes) > 6 else ''}", markup=False)
    console.print(f"groups: {summary['groups']}, captions: {summary['captions']}")
    for source, count in summary["synthetic"].items():
        console.print(f"no photographs: {count} ({source})")
    divided = summary["divided_groups"]
    if divided:
        names_shown = ", ".join(divided[:SHOWN])
        console.print(
            f"groups in more than one split: {len(divided)} ({names_shown})", markup=False
        )
    _print_quarantined("set aside", catalog.quarantined)


def _print_duplicates(catalog: Catalog, report: DuplicateReport) -> None:
    console, shown = _console(), report.pairs
    exact = sum(pair.exact for pair in report.pairs)
    more = "" if report.complete else " or more (the search stopped there)"
    console.print(
        f"duplicates: {exact} pairs of equal files, {len(report.pairs) - exact} of nearly equal "
        f"pictures{more}; {report.share_of_pictures(catalog):.0%} of the pictures have one"
    )
    if any(sample.split is not None for sample in catalog.samples):
        shown = report.across_splits()
        console.print(f"duplicates across splits: {len(shown)} pairs")
    for pair in shown[:SHOWN]:
        kind = "equal" if pair.exact else f"{pair.correlation:.3f}"
        sides = (_place(catalog, pair.first), _place(catalog, pair.second))
        console.print(f"  {kind}  {sides[0]}  {sides[1]}", markup=False, soft_wrap=True)
    if len(shown) > SHOWN:
        console.print(f"  and {len(shown) - SHOWN} more")


def _place(catalog: Catalog, sample: Any) -> str:
    place: str = sample.uri.removeprefix(catalog.uri).lstrip("/")
    return place if sample.split is None else f"{sample.split}: {place}"


def _print_quarantined(title: str, items: Sequence[Any]) -> None:
    console = _console()
    console.print(f"{title}: {len(items)}")
    for item in items[:SHOWN]:
        console.print(f"  {item.uri}: {item.reason}", markup=False, soft_wrap=True)
    if len(items) > SHOWN:
        console.print(f"  and {len(items) - SHOWN} more")


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def _progress(title: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        show: Callable[[int, int], None] = lambda done, total: bar.update(  # noqa: E731
            task, completed=done, total=total
        )
        yield show
