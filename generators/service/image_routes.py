"""Routes of a set's pixels: pictures, what was there before, masks."""

from __future__ import annotations

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
    found, known = state.sets.get(set_id), state.pictures.get(set_id, picture)
    tag = f'"{set_id}-{picture}-{query.size}"'
    if if_none_match == tag:
        return not_modified(tag)
    made = state.pictures.pixels(found, known)
    if query.size == "full":
        return _image(picture_png(made), tag, "image/png")
    return _image(thumbnail(made.picture), tag, "image/jpeg")


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
    found, known = state.sets.get(set_id), state.pictures.get(set_id, picture)
    tag = f'"{set_id}-{picture}-before-{query.size}"'
    if if_none_match == tag:
        return not_modified(tag)
    before = state.pictures.pixels(found, known).plate
    if before is None:
        before = _source_pixels(state, found, known)
    if query.size == "full":
        return _image(png(before[..., ::-1]), tag, "image/png")
    return _image(thumbnail(before), tag, "image/jpeg")


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
    found, known = state.sets.get(set_id), state.pictures.get(set_id, picture)
    tag = f'"{set_id}-{picture}-{layer}"'
    if if_none_match == tag:
        return not_modified(tag)
    made = state.pictures.pixels(found, known)
    if layer is Layer.MASK:
        return _image(overlay(made.mask, ORANGE), tag, "image/png")
    if made.requested is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "No mask was asked for.")
    return _image(overlay(made.requested, BLUE), tag, "image/png")


@router.get(
    "/sets/{set_id}/pictures/{picture}/mask",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def show_mask(state: Generation, token: Reader, set_id: SetId, picture: PictureId) -> Response:
    """Send a mask as the archive has it: 0 and 255."""
    found, known = state.sets.get(set_id), state.pictures.get(set_id, picture)
    made = state.pictures.pixels(found, known)
    return _image(mask_png(made), f'"{set_id}-{picture}-png"', "image/png")


def _image(data: bytes, tag: str, media_type: str) -> Response:
    return Response(data, headers=image_headers(tag), media_type=media_type)


def _source_pixels(state: GenerationState, found: GeneratedSet, picture: Picture) -> Any:
    source = picture.view["provenance"].get("source")
    real = state.catalogs.get(found.asked.catalog)
    if source is None or real is None or source["id"] not in real.index:
        raise ProblemError(HTTPStatus.NOT_FOUND, "It was made on no picture that is still there.")
    return real_picture(real.index[source["id"]])
