"""The procedural engine: rendered steel as answers to requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from millsight.generators.masks.labels import LabelConfig, label_boxes
from millsight.generators.procedural.defects import DEFECTS
from millsight.generators.procedural.render import LARGEST, SMALLEST, render_pair
from millsight.generators.samples import Generated, Materials, Request
from millsight.platform.errors import UserError

ENGINE = "procedural"


@dataclass
class ProceduralConfig:
    """What is rendered besides the defect.

    Attributes:
        size: Side of the square pictures, 64 to 512 pixels.
        surface: Kind of steel; by default each sample draws one.
        names: Which of the renderer's defects stands for a class, each CLASS=DEFECT; by default the
            one of its name.
        labels: How boxes are joined.
    """

    size: int = 256
    surface: Literal["rolled", "ground", "cast"] | None = None
    names: list[str] = field(default_factory=list)
    labels: LabelConfig = field(default_factory=LabelConfig)

    def check(self) -> None:
        """Refuse what cannot be rendered.

        Raises:
            UserError: Naming the setting.
        """
        if not SMALLEST <= self.size <= LARGEST:
            raise UserError(f"--procedural.size {self.size}: {SMALLEST} to {LARGEST} pixels.")
        for name in self.names:
            if name.partition("=")[2] not in DEFECTS:
                raise UserError(
                    f"--procedural.names {name}: CLASS=DEFECT, which is one of "
                    f"{', '.join(DEFECTS)}."
                )
        self.labels.check()

    def defect_of(self, label: str) -> str:
        """Return which defect is rendered for a class."""
        named = dict(name.split("=", 1) for name in self.names)
        return named.get(label, label)


class ProceduralEngine:
    """Answers requests of mode ``procedural``; see ``millsight.generators.samples.Engine``.

    Args:
        materials: Not used: the steel is rendered too.
        config: What is rendered besides the defect.

    Raises:
        UserError: If a setting is wrong.
    """

    def __init__(self, materials: Materials, config: ProceduralConfig | None = None) -> None:
        del materials
        self._config = config or ProceduralConfig()
        self._config.check()

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """Answer requests, each by itself.

        Raises:
            UserError: If the class is none of the procedural defects.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Generated:
        config = self._config
        defect = config.defect_of(request.spec.label)
        if defect not in DEFECTS:
            raise UserError(
                f"--spec.label {defect}: --spec.mode procedural renders {', '.join(DEFECTS)}; let "
                "one of them stand for the class (--procedural.names), or use copy_paste, "
                "variation or inpaint."
            )
        rendering, plate = render_pair(
            request.seed, size=(config.size, config.size), surface=config.surface, defect=defect
        )
        return Generated(
            request=request,
            picture=_to_rgb(rendering.picture),
            mask=rendering.mask,
            boxes=label_boxes(rendering.mask, config.labels),
            plate=_to_rgb(plate),
            provenance={
                "engine": ENGINE,
                "surface": rendering.surface,
                "size": config.size,
                "attributes": rendering.attributes,
                "caption": rendering.captions[0],
            },
        )


def _to_rgb(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.repeat(grey[:, :, None], 3, axis=2)
