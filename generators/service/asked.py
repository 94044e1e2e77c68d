"""What was asked for, settled: it travels in the job and decides every picture of the set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter

from millsight.generators.production.commands import GenerateSampleConfig

# Where and how fast the command works decides no picture.
ELSEWHERE = frozenset({"workspace", "output", "execution", "tracking", "format", "zip", "only"})


@dataclass(frozen=True)
class Asked:
    """A request for a set.

    Attributes:
        title: For people.
        owner: Name of the token at that time.
        catalog: Name of the catalog.
        fingerprint: Of its pictures then.
        body: The client's request, filled in.
        settings: Of ``millsight generate sample``, those that decide a picture.
        reserved: Megapixel steps that it may take.
        each: Megapixel steps that one try may take.
        affinity: Base model and adapter, as replicas tell them apart.
    """

    title: str
    owner: str
    catalog: str
    fingerprint: str
    body: dict[str, Any]
    settings: dict[str, Any]
    reserved: float
    each: float
    affinity: str = ""

    @property
    def config(self) -> GenerateSampleConfig:
        """The command's settings that make the set."""
        return config_of(self.settings)

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-like."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what ``to_dict`` gave."""
        return cls(**{item.name: content[item.name] for item in fields(cls)})


def config_of(settings: Mapping[str, Any]) -> GenerateSampleConfig:
    """Return the command's configuration for settings that ``deciding`` gave."""
    config: GenerateSampleConfig = _adapter().validate_python(settings)
    return config


@cache
def _adapter() -> TypeAdapter[GenerateSampleConfig]:
    return TypeAdapter(GenerateSampleConfig)


def deciding(config: GenerateSampleConfig) -> dict[str, Any]:
    """Return the settings of a command that decide its pictures, JSON-like."""
    return {name: value for name, value in asdict(config).items() if name not in ELSEWHERE}
