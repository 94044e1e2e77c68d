"""Routes of a set's pixels: pictures, what was there before, masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response

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

router = APIRouter(tags=["pictures"])


@dataclass(frozen=True, slots=True)
class Wanted:
    """A picture that a browser asks for.

    Attributes:
        state: Of this room.
        set_id: Of its set.
        picture: Its id.
        known: Tag of what the browser has.
    """

    state: GenerationState
    set_id: str
    picture: str
    known: str | None

    def send(self, name: str, draw: Callable[[GeneratedSet, Picture], bytes]) -> Response:
        """Send what ``draw`` makes of the picture, unless the browser has it under this name."""
        found = self.state.sets.get(self.set_id)
        picture = self.state.pictures.get(self.set_id, self.picture)
        tag = f'"{self.set_id}-{self.picture}-{name}"'
        if self.known == tag:
            return not_modified(tag)
        media_type = "image/jpeg" if name.endswith("thumbnail") else "image/png"
        return Response(draw(found, picture), headers=image_headers(tag), media_type=media_type)


async def _wanted(
    state: Generation,
    set_id: SetId,
    picture: PictureId,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Wanted:
    return Wanted(state, set_id, picture, if_none_match)


WantedPicture = Annotated[Wanted, Depends(_wanted)]


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
    wanted: WantedPicture, token: Reader, query: Annotated[PictureQuery, Query()]
) -> Response:
    """Send a picture: a small JPEG, or the very file that the archive has."""

    def draw(found: GeneratedSet, known: Picture) -> bytes:
        made = wanted.state.pictures.pixels(found, known)
        return picture_png(made) if query.size == "full" else thumbnail(made.picture)

    return wanted.send(query.size, draw)


@router.get(
    "/sets/{set_id}/pictures/{picture}/before",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/png": {}}}},
)
def show_before(
    wanted: WantedPicture, token: Reader, query: Annotated[PictureQuery, Query()]
) -> Response:
    """Send the plate that a picture was made on, or the real defect that a variation began with."""

    def draw(found: GeneratedSet, known: Picture) -> bytes:
        before = wanted.state.pictures.pixels(found, known).plate
        if before is None:
            before = _source_pixels(wanted.state, found, known)
        return png(before[..., ::-1]) if query.size == "full" else thumbnail(before)

    return wanted.send(f"before-{query.size}", draw)


@router.get(
    "/sets/{set_id}/pictures/{picture}/overlay",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def show_overlay(wanted: WantedPicture, token: Reader, layer: Layer = Layer.MASK) -> Response:
    """Send a mask as a PNG that is transparent where nothing is, 1,024 pixels a side at most."""

    def draw(found: GeneratedSet, known: Picture) -> bytes:
        made = wanted.state.pictures.pixels(found, known)
        if layer is Layer.MASK:
            return overlay(made.mask, ORANGE)
        if made.requested is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "No mask was asked for.")
        return overlay(made.requested, BLUE)

    return wanted.send(layer, draw)


@router.get(
    "/sets/{set_id}/pictures/{picture}/mask",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def show_mask(wanted: WantedPicture, token: Reader) -> Response:
    """Send a mask as the archive has it: 0 and 255."""

    def draw(found: GeneratedSet, known: Picture) -> bytes:
        return mask_png(wanted.state.pictures.pixels(found, known))

    return wanted.send("png", draw)


def _source_pixels(state: GenerationState, found: GeneratedSet, picture: Picture) -> Any:
    source = picture.view["provenance"].get("source")
    real = state.catalogs.get(found.asked.catalog)
    if source is None or real is None or source["id"] not in real.index:
        raise ProblemError(HTTPStatus.NOT_FOUND, "It was made on no picture that is still there.")
    return real_picture(real.index[source["id"]])
