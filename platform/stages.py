"""What to do, apart from where it runs: the contract between a method and the executors."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from millsight.platform.catalog.sample import Quarantined, Sample


@dataclass(frozen=True, slots=True)
class StageOutput:
    """What one batch gave.

    Attributes:
        rows: Table of the stage's ``schema``: one row per sample that was processed.
        quarantined: The samples that could not be, with the reason.
    """

    rows: pa.Table
    quarantined: tuple[Quarantined, ...] = ()


class Stage(ABC):
    """A computation over samples: set up once per worker, then many batches.

    A stage travels to its workers by pickle before ``setup``; what is large goes through
    ``weights`` instead, which an executor places once per node.

    Attributes:
        schema: Columns of the rows; the first is ``sample_id``. Checked when the class is defined.
        batch_size: Samples per ``process`` call.
    """

    schema: ClassVar[pa.Schema]
    batch_size: int = 16

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if inspect.isabstract(cls):
            return
        schema = getattr(cls, "schema", None)
        if not isinstance(schema, pa.Schema) or schema.names[:1] != ["sample_id"]:
            raise TypeError(f"{cls.__name__}.schema must be a pyarrow schema led by 'sample_id'")

    def weights(self) -> Mapping[str, np.ndarray]:
        """Return the large constant arrays; called once, on the driver."""
        return {}

    @abstractmethod
    def setup(self, device: str, weights: Mapping[str, np.ndarray]) -> None:
        """Make ready to process.

        Args:
            device: A torch device, for example ``"cpu"`` or ``"cuda:0"``.
            weights: What ``weights`` returned; read-only, shared by the workers of a node.
        """

    @abstractmethod
    def load(self, batch: Sequence[Sample]) -> Any:
        """Read and decode one batch; runs in a thread, ahead of ``process``."""

    @abstractmethod
    def process(self, loaded: Any) -> StageOutput:
        """Compute one batch that ``load`` made."""
