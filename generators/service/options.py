"""What can be asked for: classes, modes, models, and how much of them."""

from __future__ import annotations

from typing import get_args

from millsight.generators.production.commands import ENGINES
from millsight.generators.samples import Mode
from millsight.generators.service.catalogs import RealSet, located
from millsight.generators.service.config import ServeGenerationConfig
from millsight.generators.service.models import Models
from millsight.generators.service.option_views import (
    AdapterView,
    BaseView,
    CatalogView,
    ClassView,
    LimitsView,
    ModeView,
    OptionsView,
    UsageView,
)
from millsight.generators.service.request import MAX_PROMPT, SetRequest
from millsight.generators.service.state import GenerationState
from millsight.generators.service.usable import unusable
from millsight.platform.services.tokens import Token

MIB = 1 << 20
TITLES = {
    "copy_paste": ("Copy-paste", "good pictures, and real defects with masks or boxes"),
    "variation": ("Variation of a real defect", "a base model, and real defects"),
    "inpaint": ("Defect on a good picture", "a base model, good pictures, masks or boxes"),
    "text": ("From words", "a base model"),
    "procedural": ("Rendered steel", "a class that the renderer draws"),
}


def options(state: GenerationState, token: Token) -> OptionsView:
    """Show what a token can ask for."""
    config = state.config
    return OptionsView(
        catalogs=[_catalog(real, state) for real in state.catalogs.values()],
        modes=[
            ModeView(name=mode, title=title, diffusion=ENGINES[mode] == "diffusion", needs=needs)
            for mode, (title, needs) in TITLES.items()
        ],
        bases=_bases(state.models),
        adapters=_adapters(state.models),
        defaults=SetRequest(count=default_count(config)).model_dump(),
        limits=LimitsView(
            count=config.max_count,
            steps=config.max_steps,
            prompt=MAX_PROMPT,
            megapixel_steps_per_day=config.megapixel_steps_per_day,
            megabytes=config.megabytes_per_token,
        ),
        usage=usage(state, token),
    )


def default_count(config: ServeGenerationConfig) -> int:
    """Return how many pictures a request wants that does not say it."""
    return min(int(SetRequest.model_fields["count"].default), config.max_count)


def usage(state: GenerationState, token: Token) -> UsageView:
    """Show what a token has spent and has left."""
    spent, taken = state.sets.usage(token.id)
    most = state.config.megapixel_steps_per_day
    room = int(state.config.megabytes_per_token * MIB)
    return UsageView(
        megapixel_steps=spent,
        megapixel_steps_left=max(0.0, most - spent),
        bytes=taken,
        bytes_left=max(0, room - taken),
    )


def _catalog(real: RealSet, state: GenerationState) -> CatalogView:
    drawable = any(base.model is not None for base in state.models.bases.values())
    procedural = state.config.procedural
    modes: dict[str, list[str]] = {}
    reasons: dict[str, dict[str, str]] = {}
    for label in real.materials:
        whys = {
            mode: unusable(real, label, mode, procedural, drawn_masks=True)
            for mode in get_args(Mode)
        }
        if not drawable:
            none = "no base model can be used"
            whys |= {mode: none for mode in whys if ENGINES[mode] == "diffusion"}
        modes[label] = [mode for mode in TITLES if whys[mode] is None]
        reasons[label] = {mode: why for mode, why in whys.items() if why is not None}
    return CatalogView(
        name=real.config.name,
        title=real.title,
        classes=[
            ClassView(
                label=label,
                defects=len(materials.defects),
                masks=sum(located(sample) for sample in materials.defects),
            )
            for label, materials in real.materials.items()
        ],
        plates=max((len(one.plates) for one in real.materials.values()), default=0),
        megapixels=real.megapixels,
        modes=modes,
        unusable=reasons,
    )


def _bases(models: Models) -> list[BaseView]:
    return [
        BaseView(
            name=name,
            title=base.config.title or name,
            license=base.model.license.name if base.model else None,
            side=base.side or None,
            inpainting=bool(base.model and base.model.inpainting),
            problem=base.problem,
        )
        for name, base in models.bases.items()
    ]


def _adapters(models: Models) -> list[AdapterView]:
    return [
        AdapterView(
            name=name,
            title=adapter.config.title or name,
            base=adapter.config.base,
            labels=adapter.labels,
            problem=adapter.problem,
        )
        for name, adapter in models.adapters.items()
    ]
