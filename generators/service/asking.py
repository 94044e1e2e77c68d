"""A client's request, checked and filled in until it decides every picture."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from millsight.generators.filters.config import BudgetConfig
from millsight.generators.production.commands import ENGINES, GenerateSampleConfig
from millsight.generators.samples import SampleSpec
from millsight.generators.service.asked import Asked, deciding
from millsight.generators.service.catalogs import RealSet
from millsight.generators.service.models import Models
from millsight.generators.service.options import default_count
from millsight.generators.service.request import MAX_TITLE, Like, SetRequest
from millsight.generators.service.state import GenerationState
from millsight.generators.service.turns import SEPARATOR
from millsight.generators.service.usable import unusable
from millsight.generators.service.work import most_of_a_try
from millsight.platform.errors import UserError
from millsight.platform.services.problems import InvalidError
from millsight.platform.services.tokens import Token

SEEDS = 2**31


def settle(state: GenerationState, request: SetRequest, token: Token) -> Asked:
    """Check a request and fill in what it leaves open.

    Raises:
        InvalidError: 422 naming the field that is wrong.
        ProblemError: 404 if the picture to make more of is not there.
    """
    if "count" not in request.model_fields_set:
        request = request.model_copy(update={"count": default_count(state.config)})
    if request.like is not None:
        return _settle_like(state, request, request.like, token)
    real = _catalog(state, request)
    if request.label not in real.materials:
        raise InvalidError(
            "label",
            f"The training split of {real.title} has no real picture of this class; there are "
            f"{', '.join(real.materials) or 'none'}.",
        )
    label = str(request.label)
    _check_limits(state, request)
    filled = request.model_copy(
        update={
            "catalog": real.config.name,
            "seed": secrets.randbelow(SEEDS) if request.seed is None else request.seed,
            **_models(state.models, request, label),
        }
    )
    why = unusable(
        real,
        label,
        request.mode,
        state.config.procedural,
        drawn_masks=request.masks == "procedural",
    )
    if why is not None:
        raise InvalidError("mode", why)
    config = _config(state, real, filled)
    return _asked(state, real, filled, config, token)


def _catalog(state: GenerationState, request: SetRequest) -> RealSet:
    names = list(state.catalogs)
    name = names[0] if request.catalog is None and len(names) == 1 else request.catalog
    if name is None or name not in state.catalogs:
        raise InvalidError("catalog", f"There are the catalogs {', '.join(names) or '(none)'}.")
    return state.catalogs[name]


def _check_limits(state: GenerationState, request: SetRequest) -> None:
    config = state.config
    if request.count > config.max_count:
        raise InvalidError("count", f"At most {config.max_count} pictures in one set.")
    if request.steps > config.max_steps:
        raise InvalidError("steps", f"At most {config.max_steps} steps.")
    if request.mode == "copy_paste" and request.masks != "real":
        raise InvalidError("masks", "copy_paste pastes real defects: masks are real.")


def _models(models: Models, request: SetRequest, label: str) -> dict[str, Any]:
    """Fill in base model and adapter; other modes than the diffusion's have neither."""
    if ENGINES[request.mode] != "diffusion":
        for name in ("base", "adapter", "prompt"):
            if getattr(request, name) is not None:
                raise InvalidError(name, f"The mode {request.mode} draws with no model.")
        return {}
    adapter = _adapter(models, request, label)
    base = models.adapters[adapter].config.base if adapter else request.base
    base = next(iter(models.bases), None) if base is None else base
    if base is None or base not in models.bases:
        raise InvalidError("base", f"There are the base models {', '.join(models.bases)}.")
    if problem := models.bases[base].problem:
        raise InvalidError("base", f"{base} cannot be used: {problem}")
    return {"base": base}


def _adapter(models: Models, request: SetRequest, label: str) -> str | None:
    name = request.adapter
    if name is None:
        if request.prompt is not None and "{defect}" not in request.prompt:
            raise InvalidError("prompt", "Needs {defect} where the class is.")
        return None
    if name not in models.adapters:
        raise InvalidError("adapter", f"There are the adapters {', '.join(models.adapters)}.")
    found = models.adapters[name]
    if found.problem:
        raise InvalidError("adapter", f"{name} cannot be used: {found.problem}")
    if label not in found.labels:
        raise InvalidError("adapter", f"{name} was trained on {', '.join(found.labels)} only.")
    if request.base not in {None, found.config.base}:
        raise InvalidError("base", f"The adapter {name} belongs to {found.config.base}.")
    if request.prompt is not None:
        raise InvalidError("prompt", "An adapter is sampled with the prompt of its training.")
    return name


def _config(state: GenerationState, real: RealSet, filled: SetRequest) -> GenerateSampleConfig:
    spec = SampleSpec(
        label=str(filled.label),
        count=filled.count,
        mode=filled.mode,
        masks=filled.masks,
        strength=filled.strength,
        guidance=filled.guidance,
        steps=filled.steps,
        seed=int(filled.seed or 0),
    )
    spec.check()
    made = GenerateSampleConfig(
        data=real.config.data,
        layout=real.config.layout,
        category=real.config.category,
        spec=spec,
        procedural=state.config.procedural,
        copy_paste=state.config.copy_paste,
        filters=state.config.filters,
        scorer=state.config.scorer,
        budget=state.config.budget,
    )
    if filled.base is None:
        return made
    try:
        diffusion = state.models.settings(filled.base, filled.adapter, filled.prompt)
        diffusion.check()
    except UserError as error:
        raise InvalidError("prompt", str(error)) from None
    return replace(made, diffusion=diffusion)


def _asked(
    state: GenerationState,
    real: RealSet,
    filled: SetRequest,
    config: GenerateSampleConfig,
    token: Token,
) -> Asked:
    side, affinity = 0, ""
    if filled.base is not None:
        base, adapter = state.models.bases[filled.base], None
        if filled.adapter is not None:
            adapter = state.models.adapters[filled.adapter].adapter
        name = adapter.name if adapter else ""
        # As ``DiffusionEngine.load`` chooses it.
        learned = adapter.side if adapter else None
        side = base.config.diffusion.image_size or learned or base.side
        affinity = f"{base.model.fingerprint if base.model else ''}{SEPARATOR}{name}"
    spec = config.spec
    each = most_of_a_try(config, real.materials[spec.label], side)
    return Asked(
        title=filled.title or f"{spec.count} x {spec.label}, {spec.mode} · {real.title}",
        owner=token.name,
        catalog=real.config.name,
        fingerprint=real.catalog.fingerprint,
        body=filled.model_dump(),
        settings=deciding(config),
        reserved=each * tries(config.budget, spec.count),
        each=each,
        affinity=affinity,
    )


def tries(budget: BudgetConfig, count: int) -> int:
    """Return the most attempts that are made at ``count`` pictures."""
    return min(budget.most(count), budget.attempts * count)


def _settle_like(state: GenerationState, request: SetRequest, like: Like, token: Token) -> Asked:
    """Fill a request in from the set of a picture, and narrow what it may be made of."""
    found = state.sets.get(like.set)
    picture = state.pictures.get(like.set, like.picture)
    told = request.model_dump(exclude_unset=True, exclude={"count", "seed", "title", "like"})
    for name, value in told.items():
        if value is not None and value != found.asked.body[name]:
            raise InvalidError(name, "With `like`, it is that of the picture's set: leave it out.")
    title = f"{request.count} more like {like.picture} of {found.asked.title}"
    values = found.asked.body | {
        "like": like.model_dump(),
        "seed": request.seed,
        "count": request.count,
        "title": request.title or title[:MAX_TITLE],
    }
    filled = SetRequest.model_validate(values | {"like": None})
    asked = settle(state, filled, token)
    narrowed = narrow(asked.config, picture.view["provenance"])
    body = asked.body | {"like": like.model_dump(), "title": request.title}
    return replace(asked, body=body, settings=deciding(narrowed))


def narrow(config: GenerateSampleConfig, provenance: dict[str, Any]) -> GenerateSampleConfig:
    """Return the settings that use only what one picture was made of.

    ``variation``: its real defect. ``inpaint`` and ``copy_paste``: its plate, and the real defect
    that its mask was taken from. ``procedural``: its kind of surface. ``text``: nothing to narrow.
    """
    if config.spec.mode == "procedural":
        surface = replace(config.procedural, surface=provenance["surface"])
        return replace(config, procedural=surface)
    plate, source = provenance.get("plate"), provenance.get("source")
    return replace(
        config,
        plates=[plate["id"]] if plate else [],
        defects=[source["id"]] if source else [],
    )
