"""Routes of a set's pictures: look, decide, and how to make one again."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from millsight.generators.service.pictures import Picture
from millsight.generators.service.recipe import recipe
from millsight.generators.service.sets import GeneratedSet
from millsight.generators.service.state import Generation, GenerationState, PictureId, SetId
from millsight.generators.service.views import (
    ChangedView,
    Decision,
    MadeOfView,
    PicturePage,
    PictureView,
    RealView,
    RecipeView,
)
from millsight.platform.services.auth import Reader, Submitter
from millsight.platform.services.paging import PageQuery, decode_cursor, encode_cursor

MAX_DECIDED = 1000
router = APIRouter(tags=["pictures"])


class Show(StrEnum):
    """Which pictures of a set."""

    ALL = "all"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNDECIDED = "undecided"
    KEPT = "kept"
    DROPPED = "dropped"


class PicturesQuery(PageQuery):
    """Which pictures to list.

    Attributes:
        show: undecided are accepted ones that nobody kept or dropped.
    """

    show: Show = Show.ALL


class DecideRequest(BaseModel):
    """What to do with a picture.

    Attributes:
        decision: keep, drop, or null to leave it open.
    """

    model_config = ConfigDict(extra="forbid")
    decision: Decision | None


class DecideManyRequest(DecideRequest):
    """What to do with many pictures.

    Attributes:
        pictures: Their ids.
    """

    pictures: list[str] = Field(max_length=MAX_DECIDED)


@router.get("/sets/{set_id}/pictures")
def list_pictures(
    state: Generation, token: Reader, set_id: SetId, query: Annotated[PicturesQuery, Query()]
) -> PicturePage:
    """Page through a set's pictures in order of arrival, also while they arrive."""
    found = state.sets.get(set_id)
    after = 0 if query.cursor is None else int(decode_cursor(query.cursor, int)[0])
    pictures = state.pictures.page(set_id, query.limit + 1, show=query.show, after=after)
    shown = pictures[: query.limit]
    latest = encode_cursor(shown[-1].seq if shown else after)
    return PicturePage(
        items=[_view(state, found, picture) for picture in shown],
        next_cursor=latest if len(pictures) > query.limit else None,
        latest=latest,
        total=state.pictures.count(set_id, query.show),
    )


@router.patch("/sets/{set_id}/pictures")
def decide_many(
    state: Generation, token: Submitter, set_id: SetId, body: DecideManyRequest
) -> ChangedView:
    """Keep, drop or leave open many pictures at once, all or none of them."""
    state.own(set_id, token)
    return ChangedView(changed=state.pictures.decide(set_id, body.pictures, body.decision))


@router.get("/sets/{set_id}/pictures/{picture}")
def show_picture(
    state: Generation, token: Reader, set_id: SetId, picture: PictureId
) -> PictureView:
    """Show a picture."""
    found = state.sets.get(set_id)
    return _view(state, found, state.pictures.get(set_id, picture))


@router.patch("/sets/{set_id}/pictures/{picture}")
def decide(
    state: Generation, token: Submitter, set_id: SetId, picture: PictureId, body: DecideRequest
) -> PictureView:
    """Keep, drop or leave open a picture."""
    found = state.own(set_id, token)
    state.pictures.decide(set_id, [picture], body.decision)
    return _view(state, found, state.pictures.get(set_id, picture))


@router.get("/sets/{set_id}/pictures/{picture}/recipe")
def show_recipe(state: Generation, token: Reader, set_id: SetId, picture: PictureId) -> RecipeView:
    """Show the command that makes exactly this picture again."""
    found, known = state.sets.get(set_id), state.pictures.get(set_id, picture)
    return recipe(found.config, state.pictures.pixels(found, known))


def _view(state: GenerationState, found: GeneratedSet, picture: Picture) -> PictureView:
    known = dict(picture.view)
    provenance, has_plate = known["provenance"], known.pop("has_plate")
    source = _real(state, found, provenance.get("source"))
    before = "plate" if has_plate else "source" if source else None
    root = f"{_root(state, found)}/"
    for verdict in known["verdicts"]:
        verdict["reason"] = verdict["reason"].replace(root, "")
    made_of = MadeOfView(plate=_real(state, found, provenance.get("plate")), source=source)
    return PictureView(
        id=picture.id,
        number=picture.seq,
        accepted=picture.accepted,
        decision=picture.decision,
        before=before,
        made_of=made_of,
        **known,
    )


def _real(
    state: GenerationState, found: GeneratedSet, named: dict[str, str] | None
) -> RealView | None:
    if named is None:
        return None
    root = _root(state, found)
    return RealView(id=named["id"], file=named["uri"].removeprefix(root).lstrip("/"))


def _root(state: GenerationState, found: GeneratedSet) -> str:
    """Where the catalog's pictures lie, which is nobody's business."""
    real = state.catalogs.get(found.asked.catalog)
    return real.catalog.uri.rstrip("/") if real and real.catalog.uri else "\0"
