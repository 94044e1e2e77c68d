"""What a client may ask for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from millsight.generators.samples import Mode

MAX_PROMPT = 1000
MAX_TITLE = 100
PLAIN = r"^[^\x00-\x1f\x7f]+$"


class Like(BaseModel):
    """Which picture to make more of.

    Attributes:
        set: Id of its set.
        picture: Its id in that set.
    """

    model_config = ConfigDict(extra="forbid")
    set: str = Field(pattern="^[0-9a-f]{32}$")
    picture: str = Field(pattern="^[0-9]{1,9}-[0-9]{1,9}$")


class SetRequest(BaseModel):
    """What is asked for.

    Attributes:
        catalog: Name of the real pictures; may be left out where there is one, and with ``like``.
        label: Defect class; may be left out with ``like``.
        count: Accepted pictures that are wanted.
        mode: How they are made.
        masks: Where placed masks come from.
        strength: Share of the noise that a diffusion starts from.
        guidance: Scale of classifier-free guidance.
        steps: Denoising steps of a whole schedule.
        seed: Of everything random; drawn if not given.
        base: Name of the base model; the adapter's, or the first, if not given.
        adapter: Name of the adapter; the base model as it is, if not given.
        prompt: Sentence with ``{defect}`` in it, without an adapter.
        title: For people.
        like: Make more like this picture, of what it was made of.
    """

    model_config = ConfigDict(extra="forbid")
    catalog: str | None = Field(default=None, max_length=64)
    label: str | None = Field(default=None, max_length=64)
    count: int = Field(default=64, ge=1)
    mode: Mode = "copy_paste"
    masks: Literal["real", "procedural"] = "real"
    strength: float = Field(default=0.6, gt=0, le=1)
    guidance: float = Field(default=4.0, ge=1, le=100)
    steps: int = Field(default=25, ge=1)
    seed: int | None = Field(default=None, ge=0, lt=2**53)
    base: str | None = Field(default=None, max_length=64)
    adapter: str | None = Field(default=None, max_length=64)
    prompt: str | None = Field(default=None, min_length=1, max_length=MAX_PROMPT, pattern=PLAIN)
    title: str | None = Field(default=None, min_length=1, max_length=MAX_TITLE, pattern=PLAIN)
    like: Like | None = None
