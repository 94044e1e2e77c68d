"""What a client asked to have judged, as it travels to the process that judges it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum


class Decide(StrEnum):
    """What a picture's decision, defective or not, is taken from."""

    AUTO = "auto"
    SCORE = "score"
    PIXELS = "pixels"
    LABEL = "label"
    BOXES = "boxes"


@dataclass(frozen=True, slots=True)
class Submission:
    """One submission.

    Attributes:
        upload: The file that the client sent.
        kind: Its media type: zip, json or csv.
        table: Truth of the dataset.
        by_id: Whether pictures go by sample id only, and predicted classes must be known ones.
        run: Id of the run that comes of it.
        threshold: Where scores, box scores and mask probabilities count as defective; without one,
            masks hold 0 and 255 only, scores decide nothing, and a model's are cut at 0.5.
        decide: Where decisions come from.
        resamples: Of the bootstrap.
        max_unpacked_bytes: A zip archive's files together.
    """

    upload: str
    kind: str
    table: str
    by_id: bool
    run: str
    threshold: float | None
    decide: Decide
    resamples: int
    max_unpacked_bytes: int

    def to_json(self) -> str:
        """Write it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Submission:
        """Read what ``to_json`` wrote."""
        values = json.loads(text)
        return cls(**{**values, "decide": Decide(values["decide"])})
