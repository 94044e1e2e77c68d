"""Lightning's checkpoints as two files: weights as safetensors, and the state of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import load_file, save

from millsight.platform import storage

WEIGHTS = "state_dict"


class AtomicCheckpointIO(TorchCheckpointIO):
    """A killed run leaves the last whole checkpoint, never half of one, nor parts of two.

    Beside ``checkpoint.pt`` lie the weights, ``checkpoint.weights/STEP.safetensors``. The former
    names the latter and is renamed into place after it; weights of other steps are removed last.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write both files, each under another name, fsynced, renamed."""
        weights = _folder(path) / f"{checkpoint['global_step']}.safetensors"
        # Layers may share a tensor, which safetensors refuses.
        tensors = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in checkpoint[WEIGHTS].items()
        }
        storage.write_bytes(weights, save(tensors, metadata={"format": "pt"}))
        with storage.writing(path) as file:
            torch.save({**checkpoint, WEIGHTS: weights.name}, file)
        for other in weights.parent.iterdir():
            if other.name != weights.name:
                other.unlink()

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read both; no code in either is run."""
        saved: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return saved | {WEIGHTS: load_file(_folder(path) / saved[WEIGHTS])}

    def copy(self, source: str | Path, target: str | Path) -> dict[str, Any]:
        """Copy a checkpoint, and return it."""
        saved = self.load_checkpoint(source, map_location="cpu")
        self.save_checkpoint(saved, target)
        return saved


def _folder(checkpoint: str | Path) -> Path:
    return Path(checkpoint).with_suffix(".weights")
