"""A backbone's tensors into a detector, with an account of every one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from millsight.platform.errors import UserError

SHOWN = 6


@dataclass(frozen=True)
class CarryOver:
    """What became of the tensors.

    Attributes:
        loaded: Names in the weights that were copied in.
        skipped: Names in the weights that the backbone has no place for, such as other heads.
        new: Names in the detector that come from elsewhere: its own heads.
    """

    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        parts = (("loaded", self.loaded), ("skipped", self.skipped), ("new", self.new))
        return "\n".join(f"{len(names)} tensors {word}{_shown(names)}" for word, names in parts)

    def lines(self) -> list[str]:
        """Return one line per tensor: what became of it and its name."""
        parts = (("loaded", self.loaded), ("skipped", self.skipped), ("new", self.new))
        return [f"{word} {name}" for word, names in parts for name in names]


def carry_over(
    whole: nn.Module, part: nn.Module, names: Mapping[str, str], state: Mapping[str, Tensor]
) -> CarryOver:
    """Copy tensors into a part of a network.

    Args:
        whole: The network.
        part: Some of its modules.
        names: The part's own name of each of its tensors, by the name that ``state`` knows it by.
        state: Tensors by name.

    Raises:
        UserError: If one of the part's tensors is absent or of another shape; nothing is copied.
    """
    own = dict(part.state_dict())
    missing = [name for name in names if name not in state]
    if missing:
        raise UserError(
            f"--weights: they lack {len(missing)} of the backbone's {len(names)} tensors"
            f"{_shown(tuple(missing))}; name weights of the same architecture."
        )
    wrong = [
        f"{name} {tuple(state[name].shape)} for {tuple(own[at].shape)}"
        for name, at in names.items()
        if state[name].shape != own[at].shape
    ]
    if wrong:
        raise UserError(f"--weights: other shapes than the backbone's{_shown(tuple(wrong))}.")
    part.load_state_dict(own | {at: state[name] for name, at in names.items()})
    inside = {tensor.data_ptr() for tensor in own.values()}
    return CarryOver(
        loaded=tuple(names),
        skipped=tuple(name for name in state if name not in names),
        new=tuple(n for n, tensor in whole.state_dict().items() if tensor.data_ptr() not in inside),
    )


def _shown(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f": {', '.join(names[:SHOWN])}{more}" if names else ""
