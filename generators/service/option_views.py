"""What clients see of what they can ask for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class ClassView(BaseModel):
    """A class of a catalog.

    Attributes:
        label: Its name.
        defects: Real pictures of it in the training split.
        masks: Those of them with a mask or boxes.
    """

    label: str
    defects: int
    masks: int


class CatalogView(BaseModel):
    """Real pictures that sets can be made from.

    Attributes:
        name: Its id in requests.
        title: For people.
        classes: What can be made more of.
        plates: Good pictures in the training split.
        megapixels: Of a picture, on average.
        modes: By class, the modes that its pictures allow.
        unusable: By class and mode, why not.
    """

    name: str
    title: str
    classes: list[ClassView]
    plates: int
    megapixels: float
    modes: dict[str, list[str]]
    unusable: dict[str, dict[str, str]]


class ModeView(BaseModel):
    """A way to make pictures.

    Attributes:
        name: In requests.
        title: For people.
        diffusion: Whether a base model draws.
        needs: What it takes.
    """

    name: str
    title: str
    diffusion: bool
    needs: str


class BaseView(BaseModel):
    """A base model.

    Attributes:
        name: In requests.
        title: For people.
        license: Its terms, null if it cannot be used.
        side: Of the squares that it draws, pixels.
        inpainting: Whether it was trained to draw inside a mask.
        problem: Why it cannot be chosen, or null.
    """

    name: str
    title: str
    license: str | None
    side: int | None
    inpainting: bool
    problem: str | None


class AdapterView(BaseModel):
    """An adapter.

    Attributes:
        name: In requests.
        title: For people.
        base: Name of its base model.
        labels: Classes that it was trained on.
        problem: Why it cannot be chosen, or null.
    """

    name: str
    title: str
    base: str
    labels: list[str]
    problem: str | None


class LimitsView(BaseModel):
    """How much may be asked for.

    Attributes:
        count: Pictures in a set.
        steps: Denoising steps.
        prompt: Characters of a prompt.
        megapixel_steps_per_day: Of one token in 24 hours.
        megabytes: Disk of one token's sets.
    """

    count: int
    steps: int
    prompt: int
    megapixel_steps_per_day: float
    megabytes: float


class UsageView(BaseModel):
    """What a token has used.

    Attributes:
        megapixel_steps: Spent in the last 24 hours, or set aside for sets in the making.
        megapixel_steps_left: Until the day's limit.
        bytes: On disk.
        bytes_left: Until the limit.
    """

    megapixel_steps: float
    megapixel_steps_left: float
    bytes: int
    bytes_left: int


class OptionsView(BaseModel):
    """What can be asked for.

    Attributes:
        catalogs: Real pictures.
        modes: Ways to make pictures.
        bases: Base models.
        adapters: What changes them.
        defaults: Of a request.
        limits: How much.
        usage: Of this token.
    """

    catalogs: list[CatalogView]
    modes: list[ModeView]
    bases: list[BaseView]
    adapters: list[AdapterView]
    defaults: dict[str, Any]
    limits: LimitsView
    usage: UsageView


class CostView(BaseModel):
    """What a set would take.

    Attributes:
        megapixel_steps: At most: pixels drawn times steps done, of every try that is allowed.
        megapixel_steps_each: Of one try, at most: with as many squares as a picture may have.
        left: What the token has left today.
        request: The request, filled in as far as it is decided.
    """

    megapixel_steps: float
    megapixel_steps_each: float
    left: float
    request: dict[str, Any]
