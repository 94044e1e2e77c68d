"""The labelled pictures of a finetuning: drawn, and what cannot be read set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.draw import draw
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.progress import Progress
from millsight.pretraining.downstream.few_labels import FewLabelsConfig
from millsight.pretraining.downstream.parts import Parts, readable

Picture = TypeVar("Picture")


@dataclass(frozen=True)
class LabelledData(Generic[Picture]):
    """What is learnt from, chosen by and predicted.

    Attributes:
        classes: Names in alphabetical order; a label is an index into them.
        learned: To learn from.
        validated: To choose by.
        predicted: To predict; their truth is not used.
        quarantined: Pictures that cannot be read, and why.
    """

    classes: tuple[str, ...]
    learned: list[Picture]
    validated: list[Picture]
    predicted: list[Sample]
    quarantined: list[dict[str, Any]]

    def require(self, batch_size: int) -> None:
        """Refuse less than one batch.

        Raises:
            UserError: With the number of pictures.
        """
        if len(self.learned) < batch_size:
            raise UserError(
                f"--training.batch_size {batch_size}: there are {len(self.learned)} labelled "
                "pictures; lower it, or label more."
            )


def draw_labelled(
    catalog: Catalog,
    parts: Parts,
    classes: Sequence[str],
    settings: FewLabelsConfig,
    *,
    learned: Sequence[Sample],
    validated: Sequence[Sample],
    seed: int,
    progress: Progress,
) -> LabelledData[Sample]:
    """Draw as many pictures as the settings say.

    Args:
        catalog: All pictures.
        parts: Its division.
        classes: Names in alphabetical order.
        settings: How many.
        learned: Those of ``parts.train`` that teach anything.
        validated: Those of ``parts.val`` that can be chosen by.
        seed: Of the draw.
        progress: Called with pictures read and pictures in all.

    Raises:
        UserError: If there are not enough.
    """
    learned = draw(learned, settings.labelled, seed, "--training.labelled")
    count = min(settings.validated or len(validated), len(validated))
    validated = draw(validated, count, seed, "--training.validated")
    sound, broken = readable([*learned, *validated], progress)
    return LabelledData(
        tuple(classes),
        [sample for sample in learned if sample.uri in sound],
        [sample for sample in validated if sample.uri in sound],
        list(parts.predicted.samples),
        [asdict(item) for item in (*catalog.quarantined, *broken)],
    )
