"""Pretrained weights into the encoder of a segmentation network, with an account of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from millsight.platform.errors import UserError

SHOWN = 6


@dataclass(frozen=True)
class EncoderAccount:
    """Which tensors of the weights an encoder took.

    Attributes:
        loaded: Names in the encoder that were filled.
        skipped: Names in the weights that the encoder has no place for: layers after the features.
    """

    loaded: tuple[str, ...]
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(self.skipped[:SHOWN])
        more = f" and {len(self.skipped) - SHOWN} more" if len(self.skipped) > SHOWN else ""
        return f"{len(self.loaded)} tensors loaded, {len(self.skipped)} skipped ({names}{more})"


def load_encoder(encoder: nn.Module, state_dict: Mapping[str, Tensor]) -> EncoderAccount:
    """Copy weights of the whole timm network into its feature-extracting form.

    timm flattens nested stages when it extracts features (``stages.0.x`` becomes ``stages_0.x``),
    so names are compared with dots and underscores alike.

    Args:
        encoder: timm's ``features_only`` network.
        state_dict: Tensors of the classification network by name.

    Raises:
        UserError: If one of the encoder's tensors is absent from the weights or of another shape.
    """
    wanted = {_plain(name): name for name in encoder.state_dict()}
    found = {wanted[_plain(name)]: name for name in state_dict if _plain(name) in wanted}
    missing = [name for name in wanted.values() if name not in found]
    if missing:
        raise UserError(
            f"--training.encoder: the weights lack {len(missing)} of the encoder's tensors "
            f"({', '.join(missing[:SHOWN])}); name weights of the whole network."
        )
    wrong = list(_other_shapes(encoder.state_dict(), state_dict, found))
    if wrong:
        raise UserError(f"--training.encoder: other shapes than the encoder's: {wrong[0]}.")
    encoder.load_state_dict({name: state_dict[source] for name, source in found.items()})
    taken = set(found.values())
    return EncoderAccount(tuple(found), tuple(n for n in state_dict if n not in taken))


def _other_shapes(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], found: Mapping[str, str]
) -> Iterator[str]:
    for name, source in found.items():
        if own[name].shape != given[source].shape:
            yield f"{source} {tuple(given[source].shape)} for {tuple(own[name].shape)}"


def _plain(name: str) -> str:
    return name.replace(".", "_")
