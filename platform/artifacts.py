"""Artifacts: directories that say what they hold, what made them and from what.

An artifact is a payload with an ``artifact.json`` beside it. The fingerprint is the hash of the
configuration, of the inputs' fingerprints and of the weights' hashes, so equal fingerprints mean
that the work is done already. Work in progress lives in ``<name>.partial`` and is renamed when it
is whole; an ``artifact.json`` is what makes a directory an artifact.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from millsight.platform import storage
from millsight.platform.errors import RefusedError, UserError
from millsight.platform.fingerprints import Input, Recipe, to_json

MANIFEST = "artifact.json"
MARKER = "fingerprint"
CHECKPOINT = "checkpoint.pt"
CHECKPOINT_WEIGHTS = "checkpoint.weights"
BEST = "best.safetensors"
SHOWN = 6
BOOKKEEPING = (MARKER, "shards", "failed", CHECKPOINT, CHECKPOINT_WEIGHTS, BEST)
LIBRARIES = ("millsight", "numpy", "torch", "open_clip_torch", "timm", "pyarrow")


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
        manifest = self._recipe.to_manifest() | {
            "versions": library_versions(),
            "metrics": to_json(metrics or {}),
        }
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        fs, partial = storage.filesystem(self.path)
        _, final = storage.filesystem(self._final)
        if storage.is_local(fs):
            storage.write_bytes(self.file(MANIFEST), text.encode())
            _rename(Path(partial), Path(final))
            for name in BOOKKEEPING:
                if fs.exists(f"{final}/{name}"):
                    fs.rm(f"{final}/{name}", recursive=True)
        else:
            _copy_payload(fs, partial, final)
            storage.write_bytes(f"{self._final}/{MANIFEST}", text.encode())
            fs.rm(partial, recursive=True)
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
    fs, local = storage.filesystem(str(path).rstrip("/"))
    if not fs.exists(local):
        return None
    if not fs.exists(f"{local}/{MANIFEST}"):
        if fs.isdir(local) and (not fs.ls(local) or _half_copied(fs, local)):
            return None
        raise RefusedError(
            f"{path} exists and is not a millsight artifact; choose another --output."
        )
    artifact = open_artifact(path)
    if artifact.fingerprint != recipe.fingerprint:
        differing = recipe.differences(artifact.manifest)
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise RefusedError(
            f"{path} holds {artifact.manifest['kind']} with fingerprint "
            f"{artifact.fingerprint[:12]}, this run's is {recipe.fingerprint[:12]}: they differ in "
            f"{', '.join(differing[:SHOWN])}{more}. Leave --output out to get a directory of its "
            "own, or name an empty one."
        )
    return artifact


def has_begun(path: str | Path, recipe: Recipe) -> bool:
    """Say whether ``drafting`` would go on with an unfinished run of ``recipe``."""
    partial = f"{str(path).rstrip('/')}.partial"
    try:
        return storage.read_bytes(f"{partial}/{MARKER}").decode() == recipe.fingerprint
    except (FileNotFoundError, NotADirectoryError):
        return False


def discard(path: str | Path, recipe: Recipe) -> None:
    """Remove what ``recipe`` made or began to make at ``path``; there may be nothing.

    Raises:
        RefusedError: If something else is there, or another run is writing it.
    """
    fs, local = storage.filesystem(str(path).rstrip("/"))
    partial = f"{local}.partial"
    with _locked(fs, partial):
        if find_artifact(path, recipe) is not None:
            _remove(fs, local)
        if has_begun(path, recipe):
            _remove(fs, partial)


@contextmanager
def drafting(path: str | Path, recipe: Recipe) -> Iterator[Draft]:
    """Work on an artifact at ``path``; a ``.partial`` left by a killed run is gone on with.

    The directory is locked (on a local disk), so that two runs cannot write one artifact. Leaving
    the block without ``commit`` keeps the partial directory for the next run, unless it is empty.

    Raises:
        RefusedError: If another run is writing it or has just finished it, or the partial directory
            belongs to a run with another fingerprint.
    """
    final = str(path).rstrip("/")
    partial = f"{final}.partial"
    fs, local = storage.filesystem(partial)
    with _locked(fs, local):
        if fs.exists(f"{local.removesuffix('.partial')}/{MANIFEST}"):
            raise RefusedError(f"{final} was just finished by another run; run the command again.")
        _claim(partial, recipe)
        try:
            yield Draft(partial, final, recipe)
        finally:
            if fs.exists(local) and _names(fs, local) == {MARKER}:
                fs.rm(local, recursive=True)


def library_versions() -> dict[str, str]:
    """Versions of millsight and of the libraries that its numbers depend on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


@contextmanager
def _locked(fs: Any, partial: str) -> Iterator[None]:
    """Keep other processes away from an artifact; an object store has no locks to offer."""
    if not storage.is_local(fs):
        yield
        return
    target = Path(partial.removesuffix(".partial"))
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RefusedError(f"{partial} is being written by another run; wait for it.") from None
    try:
        yield
    finally:
        lock.release()


def _claim(partial: str, recipe: Recipe) -> None:
    """Mark a partial directory as this recipe's."""
    fs, local = storage.filesystem(partial)
    fs.makedirs(local, exist_ok=True)
    marker = f"{partial}/{MARKER}"
    if fs.exists(f"{local}/{MARKER}"):
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


def _half_copied(fs: Any, final: str) -> bool:
    """Say whether a run was killed while an object store copied its payload."""
    return not storage.is_local(fs) and fs.exists(f"{final}.partial/{MARKER}")


def _copy_payload(fs: Any, partial: str, final: str) -> None:
    for found in fs.find(partial):
        name = str(found).removeprefix(partial).lstrip("/")
        if name.partition("/")[0] not in BOOKKEEPING:
            fs.makedirs(f"{final}/{name}".rpartition("/")[0], exist_ok=True)
            fs.copy(found, f"{final}/{name}")


def _names(fs: Any, directory: str) -> set[str]:
    found = fs.ls(directory, detail=False)
    return {str(name).rstrip("/").rsplit("/", 1)[-1] for name in found}


def _remove(fs: Any, directory: str) -> None:
    if not storage.is_local(fs):
        fs.rm(directory, recursive=True)
        return
    path = Path(directory)
    # Under another name: half of it must not pass for an artifact, or stand in a run's way.
    doomed = path.rename(path.with_name(f".{path.name}.{secrets.token_hex(4)}.removed"))
    shutil.rmtree(doomed)


def _rename(partial: Path, final: Path) -> None:
    partial.rename(final)
    descriptor = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
