"""SteelDefectX: sentences about classes and pictures, in JSON.

Two kinds of file are understood, anywhere below the folder, and any mixture of them:

- class sentences (T1): an object of class name to sentence, ``class_descriptions.json``;
- picture records (T2 to T4): a list of objects, or an object of file name to object. The file is
  under ``image``, ``file_name``, ``filename``, ``file`` or ``path``; the class under ``label``,
  ``class``, ``class_name`` or ``category``; the sentence under ``caption``, ``description``,
  ``T2``, ``T4`` or ``text``. A value that is a sentence stands for an object with a caption alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from millsight.platform import storage
from millsight.platform.catalog.layouts.tree import (
    PICTURE_SUFFIXES,
    Evidence,
    Layout,
    Pairing,
    Record,
    Tree,
    canonical,
    class_folder,
    split_folder,
    suffix,
)
from millsight.platform.errors import UserError

FILE_KEYS = ("image", "file_name", "filename", "file", "path")
CLASS_KEYS = ("label", "class", "class_name", "category")
TEXT_KEYS = ("caption", "description", "T2", "T4", "text")
MIN_WORDS = 4


def recognise(tree: Tree) -> Evidence | None:
    """Fit where a JSON file holds class sentences or picture records with texts."""
    sentences, records = _contents(tree)
    if not sentences and not records:
        return None
    return Evidence(
        f"{len(sentences)} class sentences and {len(records)} picture texts in JSON, "
        f"{len(tree.pictures)} pictures"
    )


def read(tree: Tree) -> Iterator[Record]:
    """Yield the folder's pictures with class and caption.

    The class is the record's, else the folder's; the caption is the record's, else the class
    sentence.
    """
    sentences, records = _contents(tree)
    by_plain = {_plain(name): text for name, text in sentences.items()}
    by_name = Pairing(tree.pictures)
    texts = {by_name.find(name) or name: record for name, record in records.items()}
    for path in sorted(set(tree.pictures) | set(texts)):
        record = texts.get(path, {})
        label = _first(record, CLASS_KEYS) or class_folder(path)
        yield Record(
            path,
            label=None if label is None else canonical(label),
            split=split_folder(path),
            mask=tree.masks.find(path),
            caption=_first(record, TEXT_KEYS) or by_plain.get(_plain(label or "")),
        )


def read_class_sentences(uri: str) -> dict[str, str]:
    """Read a file of class sentences (T1).

    Returns:
        Sentence by class name, in the file's order.

    Raises:
        UserError: If the file holds something else.
    """
    folder, _, name = uri.rpartition("/")
    fs, path = storage.filesystem(uri)
    if not fs.isfile(path):
        raise UserError(f"{uri}: no such file of class sentences.")
    content = Tree(folder or ".").json_files.get(name)
    if content is None or not _is_sentences(content):
        raise UserError(f"{uri} is not an object of class name to sentence.")
    return {str(key): str(value) for key, value in content.items()}


def _contents(tree: Tree) -> tuple[dict[str, str], dict[str, Mapping[str, Any]]]:
    sentences: dict[str, str] = {}
    records: dict[str, Mapping[str, Any]] = {}
    for content in tree.json_files.values():
        if _is_sentences(content):
            sentences |= {str(key): str(value) for key, value in content.items()}
        else:
            records |= _records(content)
    return sentences, records


def _is_sentences(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and bool(content)
        and all(
            isinstance(text, str) and len(text.split()) >= MIN_WORDS for text in content.values()
        )
        and not any(suffix(str(name)) in PICTURE_SUFFIXES for name in content)
    )


def _records(content: Any) -> dict[str, Mapping[str, Any]]:
    if isinstance(content, dict):
        named = {name: _as_record(value) for name, value in content.items()}
        pictures = {
            name: record for name, record in named.items() if suffix(name) in PICTURE_SUFFIXES
        }
        return {name: record for name, record in pictures.items() if _first(record, TEXT_KEYS)}
    found = {}
    for item in content if isinstance(content, list) else ():
        name = _first(item, FILE_KEYS) if isinstance(item, dict) else None
        if name is not None and _first(item, TEXT_KEYS):
            found[name] = item
    return found


def _as_record(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {"caption": value}


def _first(record: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    found = (record[key] for key in keys if isinstance(record.get(key), str))
    return next((text.strip() for text in found if text.strip()), None)


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ").strip()


LAYOUT = Layout("steeldefectx", "JSON with sentences about classes or pictures", recognise, read)
