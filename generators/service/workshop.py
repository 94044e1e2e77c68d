"""What a replica keeps between shards: a pipeline, its adapters, and engines set up."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from millsight.generators.service.turns import SEPARATOR
from millsight.platform.stages import Stage

if TYPE_CHECKING:
    from millsight.generators.diffusion.base import BaseModel
    from millsight.generators.diffusion.config import DiffusionConfig
    from millsight.generators.diffusion.sampler import Sampler
    from millsight.generators.production.engines import EngineConfig
    from millsight.generators.samples import Engine, Materials, Mode

KEPT_STAGES = 8

# Of this process, since a stage finds its builder by name after its journey; one pipeline at most.
_samplers: OrderedDict[str, Sampler] = OrderedDict()


def build_shared(mode: Mode, config: EngineConfig, materials: Materials, device: str) -> Engine:
    """Build an engine; all engines of one base model share one pipeline in this process.

    Raises:
        UserError: If its settings or materials do not allow it.
    """
    if mode in {"procedural", "copy_paste"}:
        from millsight.generators.production.engines import build_engine

        return build_engine(mode, config, materials, device)
    from millsight.generators.diffusion.adapters import open_adapter
    from millsight.generators.diffusion.base import open_base
    from millsight.generators.diffusion.engine import DiffusionEngine

    settings = config.diffusion
    base = open_base(
        settings.base, vae=settings.vae, allow_non_commercial=settings.allow_non_commercial
    )
    adapter = None if settings.adapter is None else open_adapter(settings.adapter, base)
    sampler = _sampler(base, settings, device)
    return DiffusionEngine(sampler, materials, settings, adapter=adapter)


def loaded() -> tuple[str, ...]:
    """Return the affinities that this process has in memory."""
    return tuple(
        f"{sampler.base.fingerprint}{SEPARATOR}{name}"
        for sampler in _samplers.values()
        for name in ("", *sampler.switch.loaded)
    )


def _sampler(base: BaseModel, settings: DiffusionConfig, device: str) -> Sampler:
    from millsight.generators.diffusion.sampler import Sampler

    key = repr(
        (base.fingerprint, settings.precision, settings.batch_size, settings.image_size, device)
    )
    if key not in _samplers:
        # First, so that two are never in memory at once.
        _samplers.clear()
        _samplers[key] = Sampler.load(
            base,
            device=device,
            precision=settings.precision,
            batch_size=settings.batch_size,
            side=settings.image_size,
        )
    return _samplers[key]


class Stages:
    """Stages that are set up, by set; the one not used for the longest time goes first.

    Args:
        device: Torch device.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._kept: OrderedDict[str, Stage] = OrderedDict()

    @property
    def known(self) -> frozenset[str]:
        """Sets whose stage need not be sent again."""
        return frozenset(self._kept)

    def get(self, order: str, sent: Stage | None) -> Stage:
        """Return a set's stage, set up; ``sent`` is it, where it is not known yet.

        Raises:
            UserError: If its settings or materials do not allow it.
        """
        if order not in self._kept:
            if sent is None:
                raise RuntimeError("a stage that was never sent")
            sent.setup(self._device, {})
            self._kept[order] = sent
        self._kept.move_to_end(order)
        while len(self._kept) > KEPT_STAGES:
            self._kept.popitem(last=False)
        return self._kept[order]
