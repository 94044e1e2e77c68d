"""Tensors from files of untrusted origin: safetensors, or pickles read without running code."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millsight.platform.errors import UserError

if TYPE_CHECKING:
    import torch

PICKLES = (".pt", ".pth", ".bin")
# Under which key training scripts keep the weights in their checkpoints.
WRAPPERS = ("state_dict", "model")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict; half precision is cast to float32.

    Args:
        path: ``.safetensors``, or ``.pt``/``.pth``/``.bin``, which are read with
            ``torch.load(weights_only=True)``. A checkpoint's ``state_dict`` or ``model`` entry and
            the ``module.`` prefix of DataParallel are unwrapped.

    Raises:
        UserError: If the file is missing, damaged, holds code, or is no state dict.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such weights file.")
    content = _read(path)
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    return as_state_dict(content, path)


def as_state_dict(content: Any, origin: object) -> dict[str, torch.Tensor]:
    """Check and normalise a state dict: names to tensors, float32, no ``module.`` prefix."""
    import torch

    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{origin}: holds no state dict (tensors by name).")
    wrong = [k for k, v in content.items() if not isinstance(v, torch.Tensor)]
    if wrong:
        raise UserError(f"{origin}: holds no plain state dict; {wrong[0]!r} is no tensor.")
    half = (torch.float16, torch.bfloat16)
    prefixed = all(name.startswith("module.") for name in content)
    return {
        name.removeprefix("module.") if prefixed else name: (
            tensor.detach().float() if tensor.dtype in half else tensor.detach()
        )
        for name, tensor in content.items()
    }


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: If it is missing or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}).") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold a JSON object.")
    return content


def _read(path: Path) -> Any:
    import safetensors
    import safetensors.torch
    import torch

    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise UserError(f"{path}: damaged or no safetensors file ({error}).") from None
    if path.suffix in PICKLES:
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise UserError(
                f"{path}: cannot be read without running code from it "
                f"({str(error).splitlines()[0]}). Where you trust it, convert it once with "
                "safetensors.torch.save_file(model.state_dict(), FILE)."
            ) from None
    raise UserError(f"{path}: weights are read from .safetensors, {', '.join(PICKLES)} files.")
