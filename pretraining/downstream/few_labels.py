"""Settings that finetunings on few labels share; light to import."""

from __future__ import annotations

from dataclasses import dataclass

from millsight.platform.errors import UserError


@dataclass
class FewLabelsConfig:
    """Which pictures are learnt from and chosen by, and how long.

    Attributes:
        labelled: Labelled pictures to learn from, drawn by the seed: the paper's Mini is 500,
            Mini50 is 50. By default all.
        holdout: Share of the training pictures kept for validation where the data has no ``val``
            split; one physical object stays on one side.
        validated: Pictures of validation at most, drawn likewise. By default all.
        validate_every: Epochs between two validations.
        patience: Validations without a better one after which training ends; 0 never ends it.
        ema: Decay per step of the weights' exponential moving average, which is what is validated
            and kept; 0 keeps the weights themselves.
        epochs: Passes over the labelled pictures.
    """

    labelled: int | None = None
    holdout: float = 0.2
    validated: int | None = None
    validate_every: int = 1
    patience: int = 10
    ema: float = 0.99
    epochs: int = 50

    def check(self) -> None:
        """Refuse what nothing can be learnt or chosen by.

        Raises:
            UserError: Naming the setting.
        """
        if not 0 < self.holdout < 1:
            raise UserError(f"--training.holdout {self.holdout}: between 0 and 1.")
        if not 0 <= self.ema < 1:
            raise UserError(f"--training.ema {self.ema}: in [0, 1).")
        for name in ("labelled", "validated"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UserError(f"--training.{name} {count}: at least 1.")
        if self.validate_every < 1 or self.patience < 0:
            raise UserError("--training.validate_every: at least 1; patience: not negative.")
        if self.validate_every > self.epochs:
            raise UserError(
                f"--training.validate_every {self.validate_every} is more than --training.epochs "
                f"{self.epochs}: nothing would ever be validated."
            )
