"""The files below a folder, listed once for every layout to look at."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from millsight.platform import storage
from millsight.platform.catalog.sample import GOOD
from millsight.platform.errors import UserError

PICTURE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"),
        *(".pgm", ".ppm", ".pnm", ".heic", ".heif", ".avif", ".jp2", ".psd"),
    }
)
MASK_FOLDERS = frozenset({"masks", "mask", "ground_truth", "groundtruth"})
WRAPPERS = MASK_FOLDERS | {
    *("images", "image", "imgs", "img", "jpegimages", "pictures", "data"),
    *("annotations", "annotation", "labels", "xml"),
}
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
GOOD_NAMES = frozenset(
    {"good", "ok", "normal", "free", "defect_free", "defectfree", "no_defect", "nodefect", "clean"}
)


@dataclass(frozen=True)
class Evidence:
    """Why a folder seems to have a layout.

    Attributes:
        text: What was seen, for a person.
        distinctive: False for the layouts that any folder of pictures fits.
    """

    text: str
    distinctive: bool = True


@dataclass(frozen=True, slots=True)
class Record:
    """What a layout says about one picture, before its file was opened.

    Attributes:
        path: Below the root, with ``/``.
        label: As in ``Sample``.
        split: As in ``Sample``.
        group: As in ``Sample``.
        category: Where the layout names one; else the catalog's.
        mask: Path of the mask below the root.
        boxes: ``(x0, y0, x1, y1)``, in pixels or, with ``relative``, in shares of width and height.
        box_labels: One class per box.
        relative: Whether boxes are shares of the picture's size.
        caption: A sentence about the picture.
        problem: Why the picture has to be set aside, for example a damaged annotation file.
    """

    path: str
    label: str | None = None
    split: str | None = None
    group: str | None = None
    category: str | None = None
    mask: str | None = None
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    box_labels: tuple[str, ...] = ()
    relative: bool = False
    caption: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Layout:
    """One way in which datasets lie on disk.

    Attributes:
        name: As given to ``--layout``.
        summary: One line for a person.
        recognise: Looks at a tree; ``None`` where it does not fit.
        read: Yields the records of a tree that fits.
        unknown_is_meant: Whether a missing label is a statement (annotated sets), so that nothing
            else may fill it in.
    """

    name: str
    summary: str
    recognise: Callable[[Tree], Evidence | None]
    read: Callable[[Tree], Iterator[Record]]
    unknown_is_meant: bool = False


class Tree:
    """All files below a folder; hidden ones and those of ``__MACOSX`` are left out.

    Args:
        root: Folder, local or any fsspec address.

    Raises:
        UserError: If there is no such folder.
    """

    def __init__(self, root: str) -> None:
        fs, path = storage.filesystem(root)
        # Addresses have to hold in workers, whose working directory is another.
        self.root = (path if storage.is_local(fs) else root).rstrip("/") or "/"
        if not fs.isdir(path):
            raise UserError(f"--data {root}: no such folder.")
        start = len(path.rstrip("/")) + 1
        names = _walk(path) if storage.is_local(fs) else fs.find(path)
        found = (str(name)[start:] for name in names)
        self.files = tuple(sorted(name for name in found if not _hidden(name)))

    def uri(self, path: str) -> str:
        """Return the address of a file below the root."""
        return f"{self.root.rstrip('/')}/{path}"

    def read(self, path: str) -> bytes:
        """Read a file below the root."""
        return storage.read_bytes(self.uri(path))

    @cached_property
    def file_set(self) -> frozenset[str]:
        """The files, for membership."""
        return frozenset(self.files)

    @cached_property
    def all_pictures(self) -> tuple[str, ...]:
        """Files with a picture's suffix, masks included."""
        return tuple(name for name in self.files if suffix(name) in PICTURE_SUFFIXES)

    @cached_property
    def pictures(self) -> tuple[str, ...]:
        """Files with a picture's suffix, outside folders of masks."""
        return tuple(name for name in self.all_pictures if not in_mask_folder(name))

    @cached_property
    def masks(self) -> Pairing:
        """Pictures in folders of masks, to be paired by name."""
        names = (name for name in self.all_pictures if in_mask_folder(name))
        return Pairing(names, ("", "_mask", "_gt"), across_splits=False)

    def with_suffix(self, *suffixes: str) -> tuple[str, ...]:
        """Files with one of the suffixes."""
        return tuple(name for name in self.files if suffix(name) in suffixes)

    @cached_property
    def json_files(self) -> Mapping[str, Any]:
        """Parsed JSON files, apart from those that belong to single pictures.

        Raises:
            UserError: If one is damaged.
        """
        stems = {stem(name) for name in self.pictures}
        return {
            name: self._parse(name) for name in self.with_suffix(".json") if stem(name) not in stems
        }

    def _parse(self, name: str) -> Any:
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.uri(name)} is not valid JSON: {error}") from None


class Pairing:
    """Finds the file that goes with another by its name without suffix.

    Files in folders of two different classes never go together. Where several files share a name,
    the one whose folders agree most with the other's wins.

    Args:
        names: Files to choose from.
        endings: What may follow the other's name, in order of preference.
        across_splits: Whether a file in ``train`` may go with one in ``test``.
    """

    def __init__(
        self, names: Iterable[str], endings: Sequence[str] = ("",), *, across_splits: bool = True
    ) -> None:
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._endings = endings
        self._across_splits = across_splits
        for name in names:
            self._by_stem[stem(name)].append(name)

    def find(self, name: str) -> str | None:
        """Return the file that goes with ``name``, if there is one."""
        for ending in self._endings:
            named = self._by_stem.get(stem(name) + ending, ())
            fitting = [other for other in named if self._compatible(name, other)]
            if fitting:
                return max(fitting, key=lambda other: (shared_folders(name, other), other))
        return None

    def _compatible(self, one: str, other: str) -> bool:
        tells = (class_folder,) if self._across_splits else (class_folder, split_folder)
        return all(None in (found := {tell(one), tell(other)}) or len(found) == 1 for tell in tells)


def label_from_boxes(path: str, box_labels: Sequence[str], classes: Container[str]) -> str | None:
    """Return the class of a picture that has boxes.

    The folder's name wins where it is one of the classes, else the most frequent class, the first
    one at a tie. Without a box the class is unknown, as boxes say where defects are and never that
    there are none, unless the folder's name says good.
    """
    folder = class_folder(path)
    if folder is not None and canonical(folder) == GOOD and not box_labels:
        return GOOD
    if not box_labels:
        return None
    if folder is not None and folder in classes:
        return folder
    return Counter(box_labels).most_common(1)[0][0]


def class_folder(path: str) -> str | None:
    """Return the innermost folder that is neither a split nor a wrapper such as ``images``."""
    folders = PurePosixPath(path).parent.parts
    named = [
        name for name in folders if name.lower() not in WRAPPERS and name.lower() not in SPLITS
    ]
    return named[-1] if named else None


def split_folder(path: str) -> str | None:
    """Return the split that a path's folders name."""
    folders = PurePosixPath(path).parent.parts
    return next((SPLITS[name.lower()] for name in folders if name.lower() in SPLITS), None)


def canonical(label: str) -> str:
    """Return ``"good"`` for the usual names of defect-free classes, else the label as it stands."""
    plain = label.strip().lower().replace(" ", "_").replace("-", "_")
    return GOOD if plain in GOOD_NAMES else label.strip()


def stem(path: str) -> str:
    """Return a file's name without folders and suffix."""
    return PurePosixPath(path).stem


def suffix(path: str) -> str:
    """Return a file's suffix in lower case."""
    return PurePosixPath(path).suffix.lower()


def in_mask_folder(path: str) -> bool:
    """Say whether one of the folders is a folder of masks."""
    return any(part.lower() in MASK_FOLDERS for part in PurePosixPath(path).parent.parts)


def shared_folders(one: str, other: str) -> int:
    """Count the folder names that two paths share."""
    return len(set(PurePosixPath(one).parent.parts) & set(PurePosixPath(other).parent.parts))


def _walk(root: str) -> Iterator[str]:
    """Yield all files, in linked folders too, each folder once so that loops end."""
    visited = set()
    for folder, below, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            below.clear()
            continue
        visited.add(real)
        below.sort()
        yield from (f"{folder.rstrip('/')}/{name}" for name in names)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
