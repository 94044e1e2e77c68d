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
_samplers: dict[str, Sampler] = {}
# Set up, by set, the one used last at the end.
_stages: OrderedDict[str, Stage] = OrderedDict()


def build_shared(mode: Mode, config: EngineConfig, materials: Materials, device: str) -> Engine:
    """Build an engine; all engines of one base model share one pipeline in this process.

    Raises:
        UserError: If its settings or materials do not allow it.
    """
    if mode in {"procedural", "copy_paste"}:
        from millsight.generators.production.engines import build_engine

        return build_engine(mode, config, materials, device)
    from millsight.generators.diffusion.engine import DiffusionEngine

    return DiffusionEngine.load(config.diffusion, materials, device=device, sampler_of=_sampler)


def loaded() -> tuple[str, ...]:
    """Return the affinities that this process has in memory."""
    return tuple(
        f"{sampler.base.fingerprint}{SEPARATOR}{name}"
        for sampler in _samplers.values()
        for name in ("", *sampler.switch.loaded)
    )


def _sampler(base: BaseModel, settings: DiffusionConfig, device: str) -> Sampler:
    from millsight.generators.diffusion.engine import load_sampler

    key = repr(
        (base.fingerprint, settings.precision, settings.batch_size, settings.image_size, device)
    )
    if key not in _samplers:
        # First, so that two are never in memory at once; stages hold on to the one before.
        _samplers.clear()
        _stages.clear()
        _samplers[key] = load_sampler(base, settings, device)
    return _samplers[key]


def known() -> frozenset[str]:
    """Return the sets whose stage need not be sent again."""
    return frozenset(_stages)


def ready_stage(order: str, sent: Stage | None, device: str) -> Stage:
    """Return a set's stage, set up; of many, those not used for the longest time are dropped.

    Args:
        order: Id of the set.
        sent: Its stage; ``None`` where it is known.
        device: Torch device.

    Raises:
        UserError: If its settings or materials do not allow it.
    """
    if order not in _stages:
        if sent is None:
            raise RuntimeError("a stage that was never sent")
        sent.setup(device, {})
        _stages[order] = sent
    _stages.move_to_end(order)
    while len(_stages) > KEPT_STAGES:
        _stages.popitem(last=False)
    return _stages[order]
