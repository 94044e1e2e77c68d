"""What every engine is asked for and gives out: a spec, and labelled synthetic samples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError

Mode = Literal["procedural", "copy_paste", "variation", "inpaint", "text"]
Box = tuple[float, float, float, float]


@dataclass
class SampleSpec:
    """What to make; with the materials it decides every picture.

    Attributes:
        label: Defect class, as in the data.
        count: Accepted samples that are wanted.
        mode: ``procedural`` renders; ``copy_paste`` blends real defects onto clean plates;
            ``variation`` starts the diffusion from partly noised real defects, ``inpaint`` changes
            a clean plate inside a placed mask, ``text`` starts from noise.
        masks: Where placed masks come from: ``real`` re-places those of the class's real defects,
            ``procedural`` draws shapes.
        strength: Share of the noise that a diffusion starts from, in (0, 1].
        guidance: Scale of classifier-free guidance; 1 is without.
        steps: Denoising steps of a whole schedule; ``strength`` of them are done.
        seed: Of everything random.
    """

    label: str
    count: int = 300
    mode: Mode = "copy_paste"
    masks: Literal["real", "procedural"] = "real"
    strength: float = 0.6
    guidance: float = 4.0
    steps: int = 25
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be made.

        Raises:
            UserError: Naming the setting.
        """
        if self.count < 1:
            raise UserError(f"--spec.count {self.count}: ask for at least 1 sample.")
        if not 0 < self.strength <= 1:
            raise UserError(f"--spec.strength {self.strength}: above 0 and at most 1.")
        if self.steps < 1 or self.guidance < 1:
            raise UserError("--spec.steps and --spec.guidance: at least 1.")


def steps_done(steps: int, strength: float) -> int:
    """Return how many steps of a whole schedule a start from ``strength`` of the noise leaves."""
    return min(int(steps * strength), steps)


@dataclass(frozen=True)
class Request:
    """One sample to try; with the materials it decides the outcome, on whichever worker.

    Attributes:
        spec: What is made.
        index: Number of the sample in its set, from 0.
        attempt: How many attempts at this sample were rejected before.
    """

    spec: SampleSpec
    index: int
    attempt: int = 0

    @property
    def seed(self) -> int:
        """A number below 2**63 of this request alone, for torch's generators."""
        name = f"{self.spec.seed}/{self.index}/{self.attempt}".encode()
        return int.from_bytes(hashlib.sha256(name).digest()[:8]) >> 1

    def random(self) -> np.random.Generator:
        """Return a fresh generator of this request alone."""
        return np.random.default_rng([self.spec.seed, self.index, self.attempt])


@dataclass(frozen=True)
class Materials:
    """The real pictures that an engine may use: of the training split only.

    Attributes:
        plates: Pictures known to be good.
        defects: Pictures of the spec's class, each with a mask or boxes.
    """

    plates: tuple[Sample, ...] = ()
    defects: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What one filter found.

    Attributes:
        name: Of the filter.
        accepted: Whether the sample may stay.
        value: The number that was judged; NaN where there is none.
        reason: One sentence for people.
        abstained: Whether the filter could not judge, so that the sample may stay.
    """

    name: str
    accepted: bool
    value: float
    reason: str
    abstained: bool = False


@dataclass(frozen=True)
class Generated:
    """One synthetic sample.

    Attributes:
        request: What it answers.
        picture: ``(H, W, 3)`` uint8 RGB.
        mask: ``(H, W)`` bool, the defect's pixels.
        boxes: ``(x0, y0, x1, y1)`` in pixels, far corner exclusive; one per group of components.
        plate: ``(H, W, 3)`` uint8, the clean picture it was made on; ``None`` if there is none.
        requested: ``(H, W)`` bool, the mask that was asked for; ``None`` if there is none.
        provenance: JSON-like: engine, plate and source ids, weights, settings.
        verdicts: Of the filters that have judged it.
    """

    request: Request
    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    boxes: tuple[Box, ...]
    plate: NDArray[np.uint8] | None = None
    requested: NDArray[np.bool_] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether no filter has rejected it."""
        return all(verdict.accepted for verdict in self.verdicts)


class Engine(Protocol):
    """Makes samples; built once per worker, with its materials."""

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """Answer requests of one spec, in their order.

        An answer depends on its request and the materials, not on the other requests beside it.

        Raises:
            UserError: If the materials do not allow it.
        """
        ...
