"""Registered base models and adapters: looked at once, at the start."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from millsight.generators.diffusion.adapters import Adapter, open_adapter
from millsight.generators.diffusion.base import BaseModel, open_base
from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.service.catalogs import check_names
from millsight.generators.service.config import AdapterConfig, BaseConfig
from millsight.platform import storage
from millsight.platform.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegisteredBase:
    """A base model.

    Attributes:
        config: What the operator said of it.
        model: What it is; ``None`` if it cannot be used.
        problem: Why it cannot be used.
    """

    config: BaseConfig
    model: BaseModel | None
    problem: str | None = None

    @property
    def side(self) -> int:
        """Of the squares that it draws, pixels."""
        return self.config.diffusion.image_size or (self.model.side if self.model else 0)


@dataclass(frozen=True)
class RegisteredAdapter:
    """An adapter.

    Attributes:
        config: What the operator said of it.
        adapter: What it is; ``None`` if it cannot be used.
        problem: Why it cannot be used.
    """

    config: AdapterConfig
    adapter: Adapter | None
    problem: str | None = None

    @property
    def labels(self) -> list[str]:
        """Classes that it was trained on."""
        return sorted(self.adapter.card.prompts) if self.adapter else []


@dataclass(frozen=True)
class Models:
    """What there is to draw with.

    Attributes:
        bases: By name.
        adapters: By name.
    """

    bases: Mapping[str, RegisteredBase] = field(default_factory=dict)
    adapters: Mapping[str, RegisteredAdapter] = field(default_factory=dict)

    def settings(self, base: str, adapter: str | None, prompt: str | None) -> DiffusionConfig:
        """Return the settings of a diffusion with a base model and by option an adapter."""
        found = self.bases[base].config.diffusion
        found = replace(found, base=_absolute(found.base), vae=found.vae and _absolute(found.vae))
        if prompt is not None:
            found = replace(found, prompt=prompt)
        if adapter is None:
            return replace(found, adapter=None)
        known = self.adapters[adapter].config
        context = found.context if known.context is None else known.context
        return replace(found, adapter=_absolute(known.folder), context=context)


def _absolute(source: str) -> str:
    """A folder by an address that recipes can name; other sources as they are."""
    return storage.absolute(source) if Path(source).is_dir() else source


def open_models(bases: Sequence[BaseConfig], adapters: Sequence[AdapterConfig]) -> Models:
    """Look at what the operator registered; what cannot be used is told, and stops nobody.

    Raises:
        UserError: If a name is not fit for requests or taken, or an adapter names no base model.
    """
    check_names([config.name for config in bases], "bases")
    check_names([config.name for config in adapters], "adapters")
    found = {config.name: _base(config) for config in bases}
    for config in adapters:
        if config.base not in found:
            raise UserError(f"--adapters {config.name}: there is no base called {config.base!r}.")
    return Models(found, {one.name: _adapter(one, found[one.base]) for one in adapters})


def _base(config: BaseConfig) -> RegisteredBase:
    settings = config.diffusion
    try:
        settings.check()
        model = open_base(
            settings.base, vae=settings.vae, allow_non_commercial=settings.allow_non_commercial
        )
    except UserError as error:
        logger.warning("base %s cannot be used: %s", config.name, error)
        return RegisteredBase(config, None, _told(error, {settings.base: config.name}))
    logger.info("base %s: %s", config.name, model.license.name)
    return RegisteredBase(config, model)


def _adapter(config: AdapterConfig, base: RegisteredBase) -> RegisteredAdapter:
    if base.model is None:
        return RegisteredAdapter(config, None, f"its base cannot be used: {base.problem}")
    try:
        return RegisteredAdapter(config, open_adapter(config.folder, base.model))
    except UserError as error:
        logger.warning("adapter %s cannot be used: %s", config.name, error)
        names = {config.folder: config.name, base.model.source: base.config.name}
        return RegisteredAdapter(config, None, _told(error, names))


def _told(error: UserError, names: Mapping[str, str]) -> str:
    """Name models as clients know them; where they lie is for the log."""
    told = str(error).removeprefix("--adapter ")
    for place, name in names.items():
        told = told.replace(place, name)
    return told
