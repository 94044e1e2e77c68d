"""The trained network as one file that runs without millsight, checked against the original."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from millsight.platform import storage
from millsight.pretraining.downstream.multitask.model import MultitaskModel
from millsight.pretraining.onnx_files import Run, write_onnx

TOLERANCE = 1e-4
INPUT, OUTPUTS = "pictures", ("mask_probabilities", "scores")


class DeployedModel(nn.Module):
    """Pictures in, probabilities out: what the files compute.

    Input ``pictures``: float32 (B, 3, H, W), RGB in [0, 1]; normalised inside. Outputs:
    ``mask_probabilities`` float32 (B, 1, H, W) and ``scores`` float32 (B,), both in [0, 1].
    """

    def __init__(self, model: MultitaskModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        output = self.model(pictures)
        return output.mask_logits.sigmoid(), output.scores()


def export_model(model: MultitaskModel, name: str, url: str, pictures: Tensor) -> float:
    """Write one format, read it back and compare.

    Args:
        model: The network; moved to the CPU.
        name: ``torch_export`` (a ``.pt2`` for ``torch.export.load``) or ``onnx``.
        url: File to write.
        pictures: float32 (B, 3, H, W) in [0, 1] to compare on.

    Returns:
        Largest absolute difference of any probability, at most ``TOLERANCE``.

    Raises:
        RuntimeError: If the written file computes something else.
    """
    deployed = DeployedModel(model.cpu()).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(url).name
        run = _torch_export(deployed, path) if name == "torch_export" else _onnx(deployed, path)
        with torch.inference_mode():
            wanted = [value.numpy() for value in deployed(pictures)]
        found = run(pictures)
        worst = max(float(np.abs(a - b).max()) for a, b in zip(wanted, found, strict=True))
        if not worst <= TOLERANCE:
            raise RuntimeError(f"{url}: differs from the model by {worst:.2e}, over {TOLERANCE}")
        storage.write_bytes(url, path.read_bytes())
    return worst


def _example(model: DeployedModel) -> Tensor:
    # Of a batch of 1, export would take the first axis for a constant.
    return torch.zeros(2, 3, *model.model.spec.image_size)


def _torch_export(model: DeployedModel, path: Path) -> Run:
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(model, (_example(model),), dynamic_shapes={INPUT: batch})
    torch.export.save(program, path)
    reloaded = torch.export.load(path).module()
    return lambda pictures: [value.detach().numpy() for value in reloaded(pictures)]


def _onnx(model: DeployedModel, path: Path) -> Run:
    names = (INPUT, *OUTPUTS)
    return write_onnx(model, path, _example(model), names, {name: {0: "batch"} for name in names})
