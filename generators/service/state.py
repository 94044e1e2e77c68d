"""What the generation service's routes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Path, Request

from millsight.generators.service.archives import Archives
from millsight.generators.service.catalogs import RealSet
from millsight.generators.service.config import ServeGenerationConfig
from millsight.generators.service.models import Models
from millsight.generators.service.pictures import PictureStore
from millsight.generators.service.sets import GeneratedSet, SetStore
from millsight.platform.services.problems import ProblemError
from millsight.platform.services.tokens import Scope, Token

SetId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
PictureId = Annotated[str, Path(pattern="^[0-9]{1,9}-[0-9]{1,9}$")]


@dataclass(frozen=True, slots=True)
class GenerationState:
    """The parts of the service, at ``app.state.generation``.

    Attributes:
        config: What the operator set.
        catalogs: Real pictures, by name.
        models: Base models and adapters.
        sets: What was asked for and made.
        pictures: The pictures of the sets.
        archives: Packs sets.
    """

    config: ServeGenerationConfig
    catalogs: Mapping[str, RealSet]
    models: Models
    sets: SetStore
    pictures: PictureStore
    archives: Archives

    def own(self, set_id: str, token: Token) -> GeneratedSet:
        """Return a set that a token may change.

        Raises:
            ProblemError: 404 if there is none, 403 if it is somebody else's.
        """
        found = self.sets.get(set_id)
        if not may_change(found, token):
            raise ProblemError(HTTPStatus.FORBIDDEN, "Only its owner or an admin may change a set.")
        return found


def may_change(found: GeneratedSet, token: Token) -> bool:
    """Say whether a set is a token's own, or the token an admin's."""
    return found.owner == token.id or token.allows(Scope.ADMIN)


async def _current(request: Request) -> GenerationState:
    # Asynchronous, since FastAPI would send a plain function through its thread pool.
    state: GenerationState = request.app.state.generation
    return state


Generation = Annotated[GenerationState, Depends(_current)]
