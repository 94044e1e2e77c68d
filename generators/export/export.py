"""A stream of accepted samples to a folder, and a folder to one zip file."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath

from millsight.generators.export.files import (
    PROVENANCE,
    check_labels,
    provenance_row,
    sample_name,
    write_pictures,
)
from millsight.generators.export.formats import LAYOUTS, Format
from millsight.generators.export.lines import lines, write_lines
from millsight.generators.samples import Generated
from millsight.platform import storage
from millsight.platform.errors import UserError

# What is packed already gains nothing, and costs most of the time.
STORED = frozenset({".png"})
# Equal sets give equal archives; zip knows no earlier date.
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: Where.
        format: Its layout.
        pictures: Number of samples.
        labels: Samples of each class.
    """

    folder: str
    format: Format
    pictures: int
    labels: Mapping[str, int]


def export(
    samples: Iterable[Generated], folder: str, layout: Format, labels: tuple[str, ...]
) -> Exported:
    """Write accepted samples as they come; one is in memory at a time.

    Every picture carries the mark of ``platform.catalog.synthetic``, lies in the split train, and
    has a line in ``provenance.jsonl``: files, class, boxes, the full request, provenance, verdicts.

    ``folder``: ``images/train/<class>``, ``masks/train/<class>`` and ``split.csv``; ``coco``:
    ``images``, ``masks`` and ``annotations/instances_train.json``; ``yolo``: ``images/train``,
    ``labels/train``, ``masks/train`` and ``data.yaml``. The catalog reads each of them back.

    Args:
        samples: Accepted ones, in any order.
        folder: Local or any fsspec address; new or empty.
        layout: Which.
        labels: All classes, in the order of their numbers.

    Raises:
        UserError: If a class cannot name a folder, or a layout of boxes is asked for and a sample
            has none.
    """
    check_labels(labels)
    counts = Counter(dict.fromkeys(labels, 0))
    with ExitStack() as stack:
        rows = stack.enter_context(lines())
        writer = LAYOUTS[layout](folder, labels, stack)
        for generated in samples:
            label = generated.request.spec.label
            if layout != "folder" and not generated.boxes:
                raise UserError(
                    f"The layout {layout} tells classes by boxes, and sample "
                    f"{generated.request.index} has none: it would lose its class, {label}. Use "
                    "the layout folder."
                )
            written = writer.place(sample_name(generated), label)
            write_pictures(folder, generated, written)
            writer.add(generated, written)
            rows.add(provenance_row(generated, written))
            counts[label] += 1
        writer.finish()
        write_lines(f"{folder}/{PROVENANCE}", rows)
    return Exported(folder, layout, rows.count, dict(counts))


def write_zip(folder: str, archive: str) -> int:
    """Pack everything below a folder into one zip file; equal contents give equal bytes.

    Names are relative, in order, with forward slashes.

    Args:
        folder: Local or any fsspec address.
        archive: Likewise; appears whole or not at all.

    Returns:
        Number of files.
    """
    fs, local = storage.filesystem(folder.rstrip("/"))
    names = sorted(str(found)[len(local) + 1 :] for found in fs.find(local))
    with (
        storage.writing(archive) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in names:
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o100644 << 16
            stored = PurePosixPath(name).suffix in STORED
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            with fs.open(f"{local}/{name}", "rb") as source, packed.open(info, "w") as member:
                while part := source.read(1 << 20):
                    member.write(part)
    return len(names)
