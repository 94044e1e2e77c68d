"""Sets as their owners and others see them."""

from __future__ import annotations

from datetime import UTC, datetime

from millsight.generators.filters.table import ALL
from millsight.generators.service.sets import DAY_S, GeneratedSet
from millsight.generators.service.state import GenerationState, may_change
from millsight.generators.service.views import ReasonView, SetDetail, SetView
from millsight.platform.services.jobs import ENDED, Job, JobState
from millsight.platform.services.state import ServiceState
from millsight.platform.services.tokens import Token

COVER = 4


def set_view(
    state: GenerationState, service: ServiceState, found: GeneratedSet, token: Token
) -> SetView:
    """Show a set."""
    job, spec = service.jobs.get(found.id), found.config.spec
    return SetView(
        id=found.id,
        title=found.asked.title,
        state=job.state,
        message=job.message,
        error=job.error,
        catalog=found.asked.catalog,
        label=spec.label,
        mode=spec.mode,
        count=spec.count,
        accepted=found.accepted,
        attempts=found.accepted + found.rejected,
        kept=found.kept,
        dropped=found.dropped,
        rejected=found.rejected,
        short=job.state in ENDED and found.accepted < spec.count,
        owner=found.asked.owner,
        mine=may_change(found, token),
        created=_date(found.created),
        expires=_expires(state, found, job),
        downloaded=None if found.downloaded is None else _date(found.downloaded),
        bytes=found.bytes,
        megapixel_steps=found.taken,
        request=found.asked.body,
        like=found.asked.body["like"],
        cover=state.pictures.cover(found.id, COVER),
    )


def set_detail(
    state: GenerationState, service: ServiceState, found: GeneratedSet, token: Token
) -> SetDetail:
    """Show a set with its accept-rate table."""
    view = set_view(state, service, found, token)
    rows = found.summary["table"] if found.summary else []
    names = ReasonView.model_fields
    table = [ReasonView(**{name: row[name] for name in names}) for row in rows]
    return SetDetail(**dict(view), table=table, notes=_notes(state, view, table))


def _notes(state: GenerationState, view: SetView, table: list[ReasonView]) -> list[str]:
    notes = []
    if view.short and view.state is JobState.DONE:
        single = [row for row in table if row.filter != ALL and row.rejected]
        most = max(single, key=lambda row: row.rejected, default=None)
        why = f" Most were rejected by the filter {most.filter}." if most else ""
        missing = view.count - view.accepted
        notes.append(
            f"{missing} are missing: the tries that a set is allowed are used up.{why} Look at the "
            "rejected ones, then ask for another strength, mode or adapter."
        )
    base = state.models.bases.get(view.request["base"] or "")
    if base is not None and base.model is not None:
        notes.append(
            f"Drawn with {base.config.title or view.request['base']}, whose licence is "
            f"{base.model.license.name}."
        )
    return notes


def _expires(state: GenerationState, found: GeneratedSet, job: Job) -> datetime | None:
    if job.state not in ENDED:
        return None
    config = state.config
    ends = job.updated + config.keep_days * DAY_S
    if found.downloaded is not None:
        ends = min(ends, found.downloaded + config.keep_downloaded_days * DAY_S)
    return _date(ends)


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
