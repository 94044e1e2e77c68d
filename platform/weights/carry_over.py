"""Pretrained tensors into a part of another network, with an account of every one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millsight.platform import storage
from millsight.platform.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

SHOWN = 6
# Of an artifact: one line per tensor.
ACCOUNT_FILE = "carry_over.txt"


@dataclass(frozen=True)
class CarryOver:
    """What became of the tensors.

    Attributes:
        loaded: Names in the weights that were copied in.
        skipped: Names in the weights that the part has no place for, such as other heads.
        new: Names in the whole network that come from elsewhere: its own heads.
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

    def tell(self, start: str, file: str) -> None:
        """Print the account in short, and write every line of it.

        Args:
            start: What the tensors come from.
            file: Address to write.
        """
        print(f"{start}: {self}\nEvery tensor: {file.rpartition('/')[2]} in the artifact.")
        storage.write_bytes(file, "".join(f"{line}\n" for line in self.lines()).encode())


def carry_over(
    whole: nn.Module,
    part: nn.Module,
    names: Mapping[str, str],
    state: Mapping[str, Tensor],
    flag: str,
) -> CarryOver:
    """Copy tensors into a part of a network.

    Args:
        whole: The network.
        part: Some of its modules.
        names: The part's own name of each of its tensors, by the name that ``state`` knows it by.
        state: Tensors by name.
        flag: Which setting named them.

    Raises:
        UserError: If one of the part's tensors is absent or of another shape; nothing is copied.
    """
    own = dict(part.state_dict())
    missing = tuple(name for name in names if name not in state)
    if missing:
        raise UserError(
            f"{flag}: the weights lack {len(missing)} of the network's {len(names)} tensors"
            f"{_shown(missing)}; name weights of the whole network, of the same architecture."
        )
    wrong = tuple(
        f"{name} {tuple(state[name].shape)} for {tuple(own[at].shape)}"
        for name, at in names.items()
        if state[name].shape != own[at].shape
    )
    if wrong:
        raise UserError(f"{flag}: other shapes than the network's{_shown(wrong)}.")
    part.load_state_dict(own | {at: state[name] for name, at in names.items()})
    inside = {tensor.data_ptr() for tensor in own.values()}
    return CarryOver(
        loaded=tuple(names),
        skipped=tuple(name for name in state if name not in names),
        new=tuple(n for n, tensor in whole.state_dict().items() if tensor.data_ptr() not in inside),
    )


def unflattened(own: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return a network's own names by those of the network that it was taken from.

    timm flattens nested stages when it extracts features, so that ``stages.0.x`` becomes
    ``stages_0.x``: names are compared with dots and underscores alike.

    Args:
        own: Names in timm's ``features_only`` network.
        names: Names in the whole network.

    Returns:
        Every one of ``own``, by itself if it is not among ``names``.
    """
    whole = {name.replace(".", "_"): name for name in names}
    return {whole.get(name.replace(".", "_"), name): name for name in own}


def _shown(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f": {', '.join(names[:SHOWN])}{more}" if names else ""
