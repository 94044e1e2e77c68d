"""Whether there is room for a set: on the disk, and in its token's day."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from millsight.generators.service.asked import Asked
from millsight.generators.service.options import MIB, usage
from millsight.generators.service.state import GenerationState
from millsight.platform.services.jobs import Job
from millsight.platform.services.problems import ProblemError, TooManyRequestsError
from millsight.platform.services.state import ServiceState
from millsight.platform.services.tokens import Token
from millsight.platform.services.uploads import check_disk


def admit(
    state: GenerationState,
    service: ServiceState,
    asked: Asked,
    token: Token,
    *,
    key: str | None,
    submit: Callable[[], Job],
) -> Job:
    """Submit a set's job if its token may have it, one at a time.

    Args:
        state: Of this room.
        service: Of the floor.
        asked: What is asked for.
        token: Who asks.
        key: Idempotency key.
        submit: Queues the job.

    Raises:
        ProblemError: 422 if it costs more than a whole day's budget, 429 if it costs more than is
            left of it, 507 if the disk or the token's share of it is full; and those of ``submit``.
    """
    config = state.config
    state.sets.sweep(config.keep_downloaded_days, config.keep_days)
    with state.sets.admitting:
        # One that is there already takes no more room.
        if service.jobs.by_key(token.id, key) is None:
            check_disk(config.folder, 0)
            _check_usage(state, asked, token)
        job = submit()
        state.sets.open(job)
    return job


def _check_usage(state: GenerationState, asked: Asked, token: Token) -> None:
    found, most = usage(state, token), state.config.megapixel_steps_per_day
    if asked.reserved > most:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"It may take {asked.reserved:,.0f} megapixel steps, more than the {most:,.0f} that a "
            "token has in a day: ask for fewer pictures or steps.",
        )
    if asked.reserved > found.megapixel_steps_left:
        lacking = asked.reserved - found.megapixel_steps_left
        raise TooManyRequestsError(
            f"It may take {asked.reserved:,.0f} megapixel steps (those drawn x steps done); of "
            f"the {most:,.0f} that this token has in 24 hours, {found.megapixel_steps_left:,.0f} "
            "are left. Ask for less, or later.",
            state.sets.freed_in(token.id, lacking),
        )
    if not found.bytes_left:
        raise ProblemError(
            HTTPStatus.INSUFFICIENT_STORAGE,
            f"The sets of this token take {found.bytes / MIB:,.0f} MiB, all of the "
            f"{state.config.megabytes_per_token:g} it may have: delete some.",
        )
