"""The diffusion engine: variations of real defects, defects on clean plates, defects from text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from millsight.generators.diffusion.adapters import Adapter, open_adapter
from millsight.generators.diffusion.base import BaseModel, open_base
from millsight.generators.diffusion.config import PLACE, DiffusionConfig
from millsight.generators.diffusion.crops import Levels, without_colour
from millsight.generators.diffusion.finishing import finish
from millsight.generators.diffusion.plans import Plan, Planner
from millsight.generators.diffusion.round_trip import check_round_trip
from millsight.generators.diffusion.sampler import Drawing, Sampler
from millsight.generators.masks.sources import real_picture
from millsight.generators.samples import Generated, Materials, Request, SampleSpec
from millsight.platform.catalog.pictures import is_grey


def load_sampler(base: BaseModel, config: DiffusionConfig, device: str) -> Sampler:
    """Load a base model as the settings say.

    Raises:
        UserError: If its weights do not fit its configs.
    """
    return Sampler.load(
        base,
        device=device,
        precision=config.precision,
        batch_size=config.batch_size,
        side=config.image_size,
    )


class DiffusionEngine:
    """Makes samples with a base model and, by option, an adapter.

    - ``variation`` (image-oriented start, arXiv 2405.01872): squares around the defects of a real
      picture are noised in part, denoised, and laid back with a fading border. Mask and boxes are
      the real picture's.
    - ``inpaint``: squares around a placed mask on a clean plate are denoised inside the grown mask.
      The final mask is what differs from the plate, and outside of it the plate is untouched, to
      the last bit.
    - ``text``: a whole picture from noise, square, of the model's size; nobody knows where its
      defect is: the mask is empty and there are no boxes.

    Where the real picture is grey, or for ``text`` all real pictures of the class are, so is the
    synthetic one.

    Args:
        sampler: The base model; several engines may share it, one at a time.
        materials: Real pictures of the training split.
        config: Its ``base``, ``vae`` and ``precision`` are the sampler's.
        adapter: What the sampler's base model is changed by.
    """

    def __init__(
        self,
        sampler: Sampler,
        materials: Materials,
        config: DiffusionConfig,
        *,
        adapter: Adapter | None = None,
    ) -> None:
        config.check()
        self._sampler = sampler
        self._materials = materials
        self._config = config
        self._adapter = adapter
        self._planner = Planner(materials, config, sampler.side)
        self._checked: set[str] = set()

    @classmethod
    def load(
        cls,
        config: DiffusionConfig,
        materials: Materials,
        *,
        device: str = "cpu",
        sampler_of: Callable[[BaseModel, DiffusionConfig, str], Sampler] = load_sampler,
    ) -> DiffusionEngine:
        """Load base model and adapter.

        Args:
            config: Says where they lie.
            materials: Real pictures of the training split.
            device: Torch device.
            sampler_of: Loads the base model, or has it.

        Raises:
            UserError: See ``open_base`` and ``open_adapter``.
        """
        config.check()
        base = open_base(
            config.base, vae=config.vae, allow_non_commercial=config.allow_non_commercial
        )
        adapter = None if config.adapter is None else open_adapter(config.adapter, base)
        if adapter is not None and config.image_size is None:
            config = replace(config, image_size=adapter.side)
        return cls(sampler_of(base, config, device), materials, config, adapter=adapter)

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """Answer requests of one spec; see ``millsight.generators.samples.Engine``.

        Raises:
            UserError: If the materials, the adapter or the spec do not allow it.
        """
        if not requests:
            return []
        spec = requests[0].spec
        spec.check()
        self._check_autoencoder(spec)
        plans = [self._planner.plan(request) for request in requests]
        drawing = self._drawing(spec)
        patches = [patch for plan in plans for patch in plan.patches]
        filled = self._sampler.fill(patches, drawing, self._adapter)
        return [self._finish(plan, drawing, filled) for plan in plans]

    def _check_autoencoder(self, spec: SampleSpec) -> None:
        """Refuse a poor autoencoder, once; the making of an adapter has asked already."""
        if self._adapter is None and spec.label not in self._checked:
            check_round_trip(self._sampler, self._materials, spec.label, self._config)
            self._checked.add(spec.label)

    def _drawing(self, spec: SampleSpec) -> Drawing:
        if self._adapter is not None:
            prompt = self._adapter.prompt(spec.label)
        else:
            words = " ".join(re.split(r"[\W_]+", spec.label)).strip()
            prompt = self._config.prompt.replace(PLACE, words or "defect")
        strength = 1.0 if spec.mode == "text" else spec.strength
        return Drawing(prompt, spec.steps, strength, spec.guidance)

    def _finish(self, plan: Plan, drawing: Drawing, filled: Iterator[Levels]) -> Generated:
        levels = [next(filled) for _ in plan.patches]
        if self._all_grey if plan.picture is None else is_grey(plan.picture):
            levels = [without_colour(patch) for patch in levels]
        labelled = finish(plan, levels, self._config.labels)
        on_plate = plan.request.spec.mode == "inpaint"
        return Generated(
            request=plan.request,
            picture=labelled.picture,
            mask=labelled.mask,
            boxes=labelled.boxes,
            plate=plan.picture if on_plate else None,
            requested=plan.mask if on_plate else None,
            provenance=self._provenance(plan, drawing),
        )

    @cached_property
    def _all_grey(self) -> bool:
        defects = self._materials.defects
        return bool(defects) and all(is_grey(real_picture(sample)) for sample in defects)

    def _provenance(self, plan: Plan, drawing: Drawing) -> dict[str, Any]:
        adapter = self._adapter
        return {
            "engine": "diffusion",
            **plan.provenance,
            "squares": [list(square) for square in plan.squares],
            "base": self._sampler.base.to_dict(),
            "adapter": None if adapter is None else adapter.sha256,
            "prompt": drawing.prompt,
            "steps": drawing.steps,
            "strength": drawing.strength,
            "guidance": drawing.guidance,
            "seed": plan.request.seed,
            "side": self._sampler.side,
            "batch_size": self._sampler.batch_size,
        }
