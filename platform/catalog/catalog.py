"""Catalogs: the pictures of a dataset, known by content, with what is known about them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from millsight.platform import artifacts, storage
from millsight.platform.catalog.layouts import AUTO, choose_layout, split_csv
from millsight.platform.catalog.layouts.tree import Record, Tree
from millsight.platform.catalog.pictures import PictureError, probe_picture, read_picture_bytes
from millsight.platform.catalog.sample import SCHEMA, SCHEMA_VERSION, Quarantined, Sample
from millsight.platform.catalog.synthetic import find_mark
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input

KIND = "catalog"
FILE = "catalog.parquet"
ID_DIGITS = 32
THREADS = 8
NO_CONTENT = frozenset({"uri", "mask_uri"})
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Catalog:
    """Samples and the pictures that were set aside.

    Attributes:
        samples: In the order of their paths.
        quarantined: Pictures that cannot be used, with the reason.
        uri: The folder that was read.
        layout: Name of the layout it was read with.
        evidence: Why that layout.
    """

    samples: tuple[Sample, ...]
    quarantined: tuple[Quarantined, ...] = ()
    uri: str = ""
    layout: str = ""
    evidence: str = ""

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, 64 hex digits, over pictures, masks and labels in order, not where they lie."""
        hashed = hashlib.sha256()
        for sample in self.samples:
            row = {k: v for k, v in _row(sample).items() if k not in NO_CONTENT}
            row["boxes"] = _single(sample.boxes)
            # Catalogs of photographs keep the fingerprints they had before there was the field.
            if sample.synthetic is None:
                del row["synthetic"]
            hashed.update(json.dumps(row).encode() + b"\n")
        return hashed.hexdigest()

    def as_input(self) -> Input:
        """Name this catalog as the input of an artifact."""
        return Input(self.fingerprint, self.uri)

    def where(
        self,
        *,
        split: str | None = None,
        category: str | None = None,
        label: str | None = None,
        defective: bool | None = None,
    ) -> Catalog:
        """Return the samples that agree with every argument given; quarantined ones stay listed."""
        wanted = {"split": split, "category": category, "label": label, "defective": defective}
        given = {name: value for name, value in wanted.items() if value is not None}
        kept = (
            sample
            for sample in self.samples
            if all(getattr(sample, name) == value for name, value in given.items())
        )
        return self.with_samples(kept)

    def with_samples(self, samples: Iterable[Sample]) -> Catalog:
        """Return a catalog of the same origin with other samples."""
        return replace(self, samples=tuple(samples))

    def categories(self) -> tuple[str, ...]:
        """Return the categories in alphabetical order."""
        return tuple(sorted({sample.category for sample in self.samples}))

    def divided_groups(self) -> tuple[str, ...]:
        """Return the groups whose pictures lie in more than one split, as ``category/group``."""
        splits: dict[str, set[str]] = {}
        for sample in self.samples:
            if sample.group is not None and sample.split is not None:
                splits.setdefault(f"{sample.category}/{sample.group}", set()).add(sample.split)
        return tuple(sorted(name for name, found in splits.items() if len(found) > 1))

    def summary(self) -> dict[str, Any]:
        """Count what there is; the content of ``millsight data inspect``.

        Returns:
            JSON-like: ``pictures``, ``layout``, ``evidence``, ``counts`` (rows of category, split,
            label, pictures, with masks, with boxes, boxes), ``groups``, ``divided_groups``,
            ``sizes``, ``repeated_files``, ``captions``, ``synthetic`` and ``quarantined`` (counts
            by source and by reason).
        """
        sizes = Counter(f"{sample.width}x{sample.height}" for sample in self.samples)
        groups = {(sample.category, sample.group) for sample in self.samples if sample.group}
        return {
            "uri": self.uri,
            "layout": self.layout,
            "evidence": self.evidence,
            "pictures": len(self.samples),
            "counts": _counts(self.samples),
            "groups": len(groups),
            "divided_groups": list(self.divided_groups()),
            "sizes": dict(sizes.most_common()),
            "repeated_files": len(self.samples) - len({sample.id for sample in self.samples}),
            "captions": sum(sample.caption is not None for sample in self.samples),
            "synthetic": dict(Counter(s.synthetic for s in self.samples if s.synthetic)),
            "quarantined": dict(Counter(item.reason for item in self.quarantined).most_common()),
        }

    def write(self, path: str | Path) -> None:
        """Write one Parquet file, atomically; quarantined pictures travel in its metadata."""
        rows = [_row(sample) for sample in self.samples]
        about = {
            "uri": self.uri,
            "layout": self.layout,
            "evidence": self.evidence,
            "quarantined": [asdict(item) for item in self.quarantined],
        }
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        metadata = {**SCHEMA.metadata, b"millsight.about": json.dumps(about).encode()}
        storage.write_table(path, table.replace_schema_metadata(metadata))

    @classmethod
    def read(cls, path: str | Path) -> Catalog:
        """Read a catalog that ``write`` made.

        Raises:
            UserError: If the file is missing, is not a catalog, or was written by a newer version.
        """
        table = _read_table(path)
        metadata = table.schema.metadata or {}
        if metadata.get(b"millsight.schema") != b"samples":
            raise UserError(f"{path} is Parquet, but not a millsight catalog.")
        version = int(metadata[b"millsight.schema_version"])
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{path} has catalog schema version {version}, this millsight reads up to "
                f"{SCHEMA_VERSION}: upgrade millsight, or make the catalog again from the folder."
            )
        about = json.loads(metadata[b"millsight.about"])
        quarantined = tuple(Quarantined(**item) for item in about.pop("quarantined"))
        samples = tuple(_sample(row) for row in table.to_pylist())
        return cls(samples, quarantined, **about)


def read_folder(
    root: str | Path,
    layout: str = AUTO,
    category: str | None = None,
    progress: Progress | None = None,
) -> Catalog:
    """Read a folder of pictures in any layout.

    Every picture is read once, hashed, and its header checked, in ``THREADS`` threads; a body that
    is truncated shows only when it is decoded.

    Args:
        root: Folder, local or any fsspec address.
        layout: A layout's name, or ``"auto"`` to choose by inspection.
        category: Material and line, where the layout does not say it (MVTec's category folders do);
            by default the folder's name in lower case with underscores.
        progress: Called with pictures done and pictures in all.

    Raises:
        UserError: If the folder is missing, or no one layout is recognised.
    """
    tree = Tree(str(root))
    chosen = choose_layout(tree, layout)
    records: Iterable[Record] = chosen.layout.read(tree)
    rows = split_csv.read_rows(tree)
    if rows is not None:
        fill_labels = not chosen.layout.unknown_is_meant
        records = split_csv.apply(records, rows, fill_labels=fill_labels)
    ordered = sorted(records, key=lambda record: record.path)
    default = category_of(tree.root)
    found = list(
        _in_threads(lambda record: _open(tree, record, category, default), ordered, progress)
    )
    return Catalog(
        samples=tuple(item for item in found if isinstance(item, Sample)),
        quarantined=tuple(item for item in found if isinstance(item, Quarantined)),
        uri=tree.root,
        layout=chosen.layout.name,
        evidence=chosen.evidence.text,
    )


def load_data(
    path: str | Path,
    layout: str = AUTO,
    category: str | None = None,
    progress: Progress | None = None,
    *,
    empty: bool = False,
) -> Catalog:
    """Open whatever a ``--data`` flag names: a catalog artifact, its Parquet file, or a folder.

    A folder may be an artifact that holds pictures, such as a generated set.

    Args:
        path: Address of any of them.
        layout: For folders only.
        category: Only this category; names the pictures of a folder that has none of its own.
        progress: As in ``read_folder``.
        empty: Whether a catalog without one usable picture is worth having.

    Raises:
        UserError: If there is nothing there, or (unless ``empty``) not one usable picture.
    """
    url = str(path)
    fs, local = storage.filesystem(f"{url.rstrip('/')}/{FILE}")
    if fs.exists(local):
        catalog = Catalog.read(artifacts.open_artifact(url, kind=KIND).file(FILE))
    elif url.endswith(".parquet"):
        catalog = Catalog.read(url)
    else:
        catalog = read_folder(url, layout, category, progress)
    if category is not None:
        catalog = catalog.where(category=category)
    if not catalog.samples and not empty:
        raise UserError(f"--data {url} holds no usable picture; see: millsight data inspect")
    return catalog


def category_of(root: str) -> str:
    """Return a folder's name in lower case, with underscores for all but letters and digits."""
    name = str(storage.filesystem(root)[1]).rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "pictures"


def content_id(data: bytes) -> str:
    """Return the id of a file's content: the first 32 hex digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:ID_DIGITS]


def _open(tree: Tree, record: Record, category: str | None, default: str) -> Sample | Quarantined:
    uri = tree.uri(record.path)
    if record.problem is not None:
        return Quarantined(uri, record.problem)
    sample_id = None
    try:
        data = read_picture_bytes(uri)
        sample_id = content_id(data)
        width, height = probe_picture(data)
        mask_id = None if record.mask is None else content_id(_read_mask(tree, record.mask))
    except PictureError as error:
        return Quarantined(uri, str(error), sample_id)
    scale = (width, height) if record.relative else (1, 1)
    return Sample(
        id=sample_id,
        uri=uri,
        category=record.category or category or default,
        split=record.split,
        group=record.group,
        label=record.label,
        mask_uri=None if record.mask is None else tree.uri(record.mask),
        mask_id=mask_id,
        synthetic=find_mark(data),
        boxes=tuple(_clip(box, scale, (width, height)) for box in record.boxes),
        box_labels=record.box_labels,
        caption=record.caption,
        width=width,
        height=height,
    )


def _read_mask(tree: Tree, mask: str) -> bytes:
    try:
        return read_picture_bytes(tree.uri(mask))
    except PictureError as error:
        raise PictureError(f"mask {mask}: {error}") from None


def _clip(
    box: tuple[float, float, float, float], scale: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    corners = np.clip(np.multiply(box, scale + scale), 0, size + size)
    return _single([corners.tolist()])[0]


def _single(boxes: Sequence[Sequence[float]]) -> tuple[tuple[float, float, float, float], ...]:
    """Round to single precision, which Parquet holds, so that a catalog survives being written."""
    rows = np.asarray(boxes, dtype=np.float32).reshape(-1, 4).tolist()
    return tuple((row[0], row[1], row[2], row[3]) for row in rows)


def _in_threads(
    work: Callable[[Record], Sample | Quarantined],
    records: Sequence[Record],
    progress: Progress | None,
) -> Iterator[Sample | Quarantined]:
    with ThreadPoolExecutor(THREADS) as pool:
        for done, result in enumerate(pool.map(work, records), start=1):
            yield result
            if progress is not None:
                progress(done, len(records))


def _row(sample: Sample) -> dict[str, Any]:
    return {item.name: getattr(sample, item.name) for item in fields(sample)}


def _sample(row: Mapping[str, Any]) -> Sample:
    boxes = tuple((box[0], box[1], box[2], box[3]) for box in row["boxes"])
    return Sample(**{**row, "boxes": boxes, "box_labels": tuple(row["box_labels"])})


def _read_table(path: str | Path) -> pa.Table:
    try:
        return storage.read_table(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such catalog.") from None
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is not a readable Parquet file: {error}") from None


def _counts(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    counted: dict[tuple[str, str, str], Counter[str]] = {}
    for sample in samples:
        key = (sample.category, sample.split or "-", sample.label or "-")
        counts = counted.setdefault(key, Counter())
        counts["pictures"] += 1
        counts["masks"] += sample.mask_uri is not None
        counts["boxed"] += bool(sample.boxes)
        counts["boxes"] += len(sample.boxes)
    return [
        {"category": key[0], "split": key[1], "label": key[2], **counts}
        for key, counts in sorted(counted.items())
    ]
