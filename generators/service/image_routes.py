"""Routes of a set's pixels: pictures, what was there before, masks."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from millsight.generators.export.files import mask_png, picture_png
from millsight.generators.masks.sources import real_picture
from millsight.generators.service.pictures import Picture
from millsight.generators.service.sets import GeneratedSet
from millsight.generators.service.state import Generation, GenerationState, PictureId, SetId
from millsight.platform.services.auth import Reader
from millsight.platform.services.images import (
    BLUE,
    ORANGE,
    PictureQuery,
    image_headers,
    not_modified,
    overlay,
    png,
    thumbnail,
)
from millsight.platform.services.problems import ProblemError

IfNoneMatch = Annotated[str | None, Header()]
router = APIRouter(tags=["pictures"])


class Layer(StrEnum):
    """What an overlay shows."""

    MASK = "mask"
    REQUESTED = "requested"


@router.get(
    "/sets/{set_id}/pictures/{picture}/image",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/png": {}}}},
)
def show_image(
    *,
    state: Generation,
    token: Reader,
    set_id: SetId,
    picture: PictureId,
    query: Annotated[PictureQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Send a picture: a small JPEG, or the very file that the archive has."""

    def draw(found: GeneratedSet, known: Picture) -> bytes:
        made = state.pictures.pixels(found, known)
        return picture_png(made) if query.size == "full" else thumbnail(made.picture)

    return _send(state, (set_id, picture), query.size, if_none_match, draw)


@router.get(
    "/sets/{set_id}/pictures/{picture}/before",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/png": {}}}},
)
def show_before(
    *,
    state: Generation,
    token: Reader,
    set_id: SetId,
    picture: PictureId,
    query: Annotated[PictureQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Send the plate that a picture was made on, or the real defect that a variation began with."""

    def draw(found: GeneratedSet, known: Picture) -> bytes:
        before = state.pictures.pixels(found, known).plate
        if before is None:
            before = _source_pixels(state, found, known)
        return png(before[..., ::-1]) if query.size == "full" else thumbnail(before)

    return _send(state, (set_id, picture), f"before-{query.size}", if_none_match, draw)


@router.get(
    "/sets/{set_id}/pictures/{picture}/overlay",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def show_overlay(
    *,
    state: Generation,
    token: Reader,
    set_id: SetId,
    picture: PictureId,
    layer: Layer = Layer.MASK,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Send a mask as a PNG that is transparent where nothing is, 1,024 pixels a side at most."""

    def draw(found: GeneratedSet, known: Picture) -> bytes:
        made = state.pictures.pixels(found, known)
        if layer is Layer.MASK:
            return overlay(made.mask, ORANGE)
        if made.requested is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "No mask was asked for.")
        return overlay(made.requested, BLUE)

    return _send(state, (set_id, picture), layer, if_none_match, draw)


@router.get(
    "/sets/{set_id}/pictures/{picture}/mask",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def show_mask(state: Generation, token: Reader, set_id: SetId, picture: PictureId) -> Response:
    """Send a mask as the archive has it: 0 and 255."""

    def draw(found: GeneratedSet, known: Picture) -> bytes:
        return mask_png(state.pictures.pixels(found, known))

    return _send(state, (set_id, picture), "png", None, draw)


def _send(
    state: GenerationState,
    place: tuple[str, str],
    name: str,
    if_none_match: str | None,
    draw: Callable[[GeneratedSet, Picture], bytes],
) -> Response:
    """Send what ``draw`` makes of a set's picture, unless the browser has it under this name."""
    set_id, picture = place
    found, known = state.sets.get(set_id), state.pictures.get(set_id, picture)
    tag = f'"{set_id}-{picture}-{name}"'
    if if_none_match == tag:
        return not_modified(tag)
    media_type = "image/jpeg" if name.endswith("thumbnail") else "image/png"
    return Response(draw(found, known), headers=image_headers(tag), media_type=media_type)


def _source_pixels(state: GenerationState, found: GeneratedSet, picture: Picture) -> Any:
    source = picture.view["provenance"].get("source")
    real = state.catalogs.get(found.asked.catalog)
    if source is None or real is None or source["id"] not in real.index:
        raise ProblemError(HTTPStatus.NOT_FOUND, "It was made on no picture that is still there.")
    return real_picture(real.index[source["id"]])
