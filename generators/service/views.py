"""What clients see of sets and pictures."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from millsight.generators.service.request import Like
from millsight.platform.services.jobs import JobState
from millsight.platform.services.paging import Page

Decision = Literal["keep", "drop"]


class SetView(BaseModel):
    """A set.

    Attributes:
        id: That of its job.
        title: For people.
        state: Of its job.
        message: What is being done.
        error: Why it failed.
        catalog: Name of the real pictures.
        label: Its class.
        mode: How it is made.
        count: Accepted pictures that are wanted.
        accepted: Those there are.
        attempts: Pictures made and judged.
        kept: Accepted ones kept by hand.
        dropped: Accepted ones dropped by hand.
        rejected: Rejected by filters.
        short: It has ended with fewer than were wanted.
        owner: Name of the token that asked for it.
        mine: Whether the caller may change it.
        created: When it was asked for.
        expires: When it will be deleted; null while it is in the making.
        downloaded: When it was first taken away.
        bytes: On disk.
        megapixel_steps: Spent, or set aside while it is in the making.
        request: What was asked for, filled in.
        like: The picture that it is to be like.
        cover: Ids of a few pictures.
    """

    id: str
    title: str
    state: JobState
    message: str
    error: str | None
    catalog: str
    label: str
    mode: str
    count: int
    accepted: int
    attempts: int
    kept: int
    dropped: int
    rejected: int
    short: bool
    owner: str
    mine: bool
    created: datetime
    expires: datetime | None
    downloaded: datetime | None
    bytes: int
    megapixel_steps: float
    request: dict[str, Any]
    like: Like | None
    cover: list[str]


class ReasonView(BaseModel):
    """A row of the accept-rate table.

    Attributes:
        filter: Its name; the last row stands for all filters.
        judged: Pictures that it saw.
        rejected: Those that it turned down.
        alone: Those that no other filter turned down.
        abstained: Those that it could not judge.
        accepted: Share that passed, in [0, 1].
    """

    filter: str
    judged: int
    rejected: int
    alone: int
    abstained: int
    accepted: float


class SetDetail(SetView):
    """A set with what became of its tries.

    Attributes:
        table: By filter.
        notes: What to know about it.
    """

    table: list[ReasonView]
    notes: list[str]


class VerdictView(BaseModel):
    """What one filter found.

    Attributes:
        name: Of the filter.
        accepted: Whether the picture may stay.
        value: The number that was judged, or null.
        reason: One sentence.
        abstained: Whether it could not judge.
    """

    name: str
    accepted: bool
    value: float | None
    reason: str
    abstained: bool


class RealView(BaseModel):
    """A real picture that a synthetic one was made of.

    Attributes:
        id: Its sample id.
        file: Its name within the catalog.
    """

    id: str
    file: str


class MadeOfView(BaseModel):
    """Real pictures that a synthetic one was made of.

    Attributes:
        plate: The good picture.
        source: The real defect, or where the mask is from.
    """

    plate: RealView | None
    source: RealView | None


class PictureView(BaseModel):
    """A picture of a set.

    Attributes:
        id: Its index and attempt, within the set.
        number: Grows in order of arrival.
        index: Number of the sample in the set.
        attempt: Tries at this sample that were rejected before.
        accepted: Whether the filters let it pass.
        decision: By hand: keep, drop, or null.
        verdicts: Of the filters.
        boxes: ``[x0, y0, x1, y1]`` in pixels, far corner exclusive.
        width: Pixels.
        height: Pixels.
        defect_pixels: Of the mask.
        has_requested: Whether there is an overlay of the layer requested.
        before: What its ``before`` shows: the plate, the source, or null.
        seed: Of this picture alone.
        made_of: Real pictures.
        provenance: All that is known of its making.
    """

    id: str
    number: int
    index: int
    attempt: int
    accepted: bool
    decision: Decision | None
    verdicts: list[VerdictView]
    boxes: list[tuple[float, float, float, float]]
    width: int
    height: int
    defect_pixels: int
    has_requested: bool
    before: Literal["plate", "source"] | None
    seed: str
    made_of: MadeOfView
    provenance: dict[str, Any]


class PicturePage(Page[PictureView]):
    """Some of a set's pictures.

    Attributes:
        latest: Give it as ``cursor``, now or later, to get what comes after these.
        total: How many there are now.
    """

    latest: str
    total: int


class ChangedView(BaseModel):
    """How a decision on many went.

    Attributes:
        changed: Pictures whose decision is another one now.
    """

    changed: int


class RecipeView(BaseModel):
    """How anybody makes a picture again.

    Attributes:
        command: For a shell, on one line.
        config: Its settings, nested.
        yaml: The same, for ``--config``.
        file: The picture within the set that it writes.
        sha256: Of that file.
        notes: What it takes.
    """

    command: str
    config: dict[str, Any]
    yaml: str
    file: str
    sha256: str
    notes: list[str]
