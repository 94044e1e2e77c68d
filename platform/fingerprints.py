"""Fingerprints: the hash of all that decides a result, so that equal work is known as equal."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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

    def to_manifest(self) -> dict[str, Any]:
        """Return everything above as JSON, as it stands in an ``artifact.json``."""
        manifest: dict[str, Any] = to_json(self)
        return manifest | {"fingerprint": self.fingerprint}

    def differences(self, manifest: Mapping[str, Any]) -> list[str]:
        """Name, as dotted paths, what this recipe does otherwise than the one in ``manifest``."""
        ours, theirs = _decisive(self.to_manifest()), _decisive(manifest)
        return sorted(key for key in ours | theirs if ours.get(key, ...) != theirs.get(key, ...))


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


def _decisive(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten the part of a manifest that its fingerprint is made of."""
    inputs = {role: source["fingerprint"] for role, source in manifest["inputs"].items()}
    names = ("kind", "schema_version", "config", "weights")
    return _flatten({name: manifest[name] for name in names} | {"inputs": inputs})


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flatten(item, f"{prefix}.{key}" if prefix else key)
    return flat
