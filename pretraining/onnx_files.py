"""A trained network as an ONNX file, opened again by onnxruntime."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

Run = Callable[[Tensor], Sequence[np.ndarray]]


def write_onnx(
    model: nn.Module,
    path: Path,
    example: Tensor,
    names: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
) -> Run:
    """Write the file and open it.

    Args:
        model: Takes one tensor and returns a tuple of tensors; in evaluation mode, on the CPU.
        path: File to write.
        example: What the model is run on while its operations are recorded.
        names: Of the input and of each output.
        free: Axes whose length may differ from the example's, with a name, by input or output.

    Returns:
        Runs the written file on a CPU.
    """
    import onnxruntime

    with warnings.catch_warnings():
        # torch's newer exporter needs onnxscript, one more package for the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            str(path),
            input_names=[names[0]],
            output_names=list(names[1:]),
            dynamic_axes={name: dict(axes) for name, axes in free.items()},
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(given: Tensor) -> Sequence[np.ndarray]:
        outputs: Sequence[np.ndarray] = session.run(None, {names[0]: given.numpy()})
        return outputs

    return run
