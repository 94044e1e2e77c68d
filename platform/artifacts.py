"""Artifacts: directories that say what they hold, what made them and from what.

An artifact is a payload with an ``artifact.json`` beside it. The fingerprint is the hash of the
configuration, of the inputs' fingerprints and of the weights' hashes, so equal fingerprints mean
that the work is done already. Work in progress lives in ``<name>.partial`` and is renamed when it
is whole; an ``artifact.json`` is what makes a directory an artifact.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from millsight.platform import storage
from millsight.platform.errors import RefusedError, UserError

MANIFEST = "artifact.json"
BOOKKEEPING = ("fingerprint", "shards", "failed")
LIBRARIES = ("millsight", "numpy", "torch", "open_clip_torch", "timm", "pyarrow")


@dataclass(frozen=True)
class Input:
    """What an artifact was made from.

    Attributes:
        fingerprint: Of the input artifact or catalog.
        uri: Where it lay at that time.
    """

    fingerprint: str
    uri: str = ""


@dataclass(frozen=True)
class Recipe:
    """All that decides an artifact's content.

    Attributes:
        kind: For example ``"maps"``; names the payload's format.
        schema_version: Version of that format.
        config: JSON-like configuration of the method, defaults included; settings that cannot
            change the result (workers, devices, paths) are left out.
        inputs: By role, for example ``{"data": Input(...)}``.
        weights: Hash of the tensors, by role.
    """

    kind: str
    schema_version: int
    config: Mapping[str, Any]
    inputs: Mapping[str, Input] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256, 64 hex digits, over everything above except where the inputs lay."""
        return digest(
            {
                "kind": self.kind,
                "schema_version": self.schema_version,
                "config": self.config,
                "inputs": {role: source.fingerprint for role, source in self.inputs.items()},
                "weights": self.weights,
            }
        )


@dataclass(frozen=True)
class Artifact:
    """A finished artifact.

    Attributes:
        path: Its directory, local or any fsspec address.
        manifest: Content of ``artifact.json``.
    """

    path: str
    manifest: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """The fingerprint it was made under."""
        return str(self.manifest["fingerprint"])

    @property
    def config(self) -> Mapping[str, Any]:
        """The full configuration it was made with."""
        config: Mapping[str, Any] = self.manifest["config"]
        return config

    def as_input(self) -> Input:
        """Name this artifact as the input of another."""
        return Input(self.fingerprint, self.path)

    def file(self, name: str) -> str:
        """Return the address of one file of the payload."""
        return f"{self.path.rstrip('/')}/{name}"


class Draft:
    """An artifact in the making: write the payload into ``path``, then ``commit``."""

    def __init__(self, path: str, final: str, recipe: Recipe) -> None:
        self.path = path
        self._final = final
        self._recipe = recipe

    def file(self, name: str) -> str:
        """Return the address of one file of the payload."""
        return f"{self.path}/{name}"

    def commit(self, metrics: Mapping[str, Any] | None = None) -> Artifact:
        """Write ``artifact.json`` last, move to the final name, drop what only a rerun needed."""
        manifest = {
            "kind": self._recipe.kind,
            "schema_version": self._recipe.schema_version,
            "fingerprint": self._recipe.fingerprint,
            "config": to_json(self._recipe.config),
            "inputs": to_json(self._recipe.inputs),
            "weights": dict(self._recipe.weights),
            "versions": library_versions(),
            "metrics": to_json(metrics or {}),
        }
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        storage.write_bytes(self.file(MANIFEST), text.encode())
        fs, partial = storage.filesystem(self.path)
        _, final = storage.filesystem(self._final)
        if storage.is_local(fs):
            Path(partial).rename(final)
            _fsync_directory(Path(final).parent)
        else:
            fs.mv(partial, final, recursive=True)
        for name in BOOKKEEPING:
            if fs.exists(f"{final}/{name}"):
                fs.rm(f"{final}/{name}", recursive=True)
        return Artifact(self._final, manifest)


def open_artifact(path: str | Path, *, kind: str | None = None) -> Artifact:
    """Open a finished artifact.

    Raises:
        UserError: If ``path`` holds no finished artifact, or one of another kind.
    """
    url = str(path).rstrip("/")
    try:
        manifest = json.loads(storage.read_bytes(f"{url}/{MANIFEST}"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{url} is not a finished artifact (no {MANIFEST}). Name the directory that a "
            "millsight command printed at its end; a directory ending in .partial is unfinished: "
            "rerun the command that made it."
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{url}/{MANIFEST} is damaged ({error}); make the artifact again."
        ) from None
    if kind is not None and manifest.get("kind") != kind:
        raise UserError(f"{url} holds {manifest.get('kind')!r}; this command needs {kind!r}.")
    return Artifact(url, manifest)


def find_artifact(path: str | Path, recipe: Recipe) -> Artifact | None:
    """Return the artifact at ``path`` if it was made by ``recipe``.

    Raises:
        RefusedError: If something else is there: it is neither overwritten nor mixed with.
    """
    fs, local = storage.filesystem(path)
    if not fs.exists(local):
        return None
    if not fs.exists(f"{local}/{MANIFEST}"):
        if fs.isdir(local) and not fs.ls(local):
            return None
        raise RefusedError(
            f"{path} exists and is not a millsight artifact; choose another --output."
        )
    artifact = open_artifact(path)
    if artifact.fingerprint != recipe.fingerprint:
        raise RefusedError(
            f"{path} holds {artifact.manifest['kind']} with fingerprint "
            f"{artifact.fingerprint[:12]}, this run's is {recipe.fingerprint[:12]}: data, weights "
            f"or settings differ ({', '.join(differences(artifact, recipe)) or 'schema'}). Leave "
            "--output out to get a directory of its own, or name an empty one."
        )
    return artifact


@contextmanager
def drafting(path: str | Path, recipe: Recipe) -> Iterator[Draft]:
    """Work on an artifact at ``path``; a ``.partial`` left by a killed run is gone on with.

    The directory is locked, so that two runs cannot write one artifact. Leaving the block without
    ``commit`` keeps the partial directory for the next run.

    Raises:
        RefusedError: If another run is writing it, or the partial directory belongs to a run with
            another fingerprint.
    """
    final = str(path).rstrip("/")
    partial = f"{final}.partial"
    fs, local = storage.filesystem(partial)
    fs.makedirs(local, exist_ok=True)
    marker = f"{partial}/fingerprint"
    if fs.exists(f"{local}/fingerprint"):
        found = storage.read_bytes(marker).decode()
        if found != recipe.fingerprint:
            raise RefusedError(
                f"{partial} holds an unfinished run with fingerprint {found[:12]}, this run's is "
                f"{recipe.fingerprint[:12]}. Rerun that one to its end, remove the directory, or "
                "choose another --output."
            )
    elif fs.ls(local):
        raise RefusedError(f"{partial} exists and is not an unfinished run; remove it.")
    storage.write_bytes(marker, recipe.fingerprint.encode())
    if not storage.is_local(fs):
        yield Draft(partial, final, recipe)
        return
    lock = filelock.FileLock(f"{Path(final).parent}/.{Path(final).name}.lock")
    try:
        with lock.acquire(timeout=0):
            yield Draft(partial, final, recipe)
    except filelock.Timeout:
        raise RefusedError(f"{partial} is being written by another run; wait for it.") from None


def differences(artifact: Artifact, recipe: Recipe) -> list[str]:
    """Name, as dotted paths, what ``recipe`` does otherwise than the run that made ``artifact``."""
    here = {
        "config": to_json(recipe.config),
        "inputs": {role: source.fingerprint for role, source in recipe.inputs.items()},
        "weights": dict(recipe.weights),
    }
    there = {
        "config": artifact.manifest["config"],
        "inputs": {
            role: source["fingerprint"] for role, source in artifact.manifest["inputs"].items()
        },
        "weights": artifact.manifest["weights"],
    }
    ours, theirs = _flatten(here), _flatten(there)
    return sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key))


def digest(value: Any) -> str:
    """SHA-256, 64 hex digits, of a JSON-like value; the order of keys does not matter."""
    text = json.dumps(to_json(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def to_json(value: Any) -> Any:
    """Turn dataclasses, tuples and paths into what JSON knows.

    Raises:
        TypeError: If a value has no JSON form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def library_versions() -> dict[str, str]:
    """Versions of millsight and of the libraries that its numbers depend on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flatten(item, f"{prefix}.{key}" if prefix else key)
    return flat


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
