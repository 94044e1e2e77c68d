"""All that users take home of a trained classifier, in one folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from millsight.platform import storage
from millsight.platform.fingerprints import Input
from millsight.pretraining.downstream.classification.config import ClassificationConfig
from millsight.pretraining.downstream.classification.model import (
    Classifier,
    load_classifier,
    save_classifier,
)
from millsight.pretraining.model_card import lineage, number_table, settings_block
from millsight.pretraining.onnx_files import write_onnx

CARD_FILE, ONNX_FILE = "README.md", "model.onnx"
NAMES = ("pictures", "probabilities")
TOLERANCE = 1e-4


class DeployedClassifier(nn.Module):
    """Float32 ``(B, 3, H, W)`` pictures, RGB in [0, 1], to ``(B, C)`` probabilities."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pictures: Tensor) -> tuple[Tensor]:
        """See the class."""
        return (self.classifier(pictures).softmax(1),)


def release(
    classifier: Classifier,
    folder: str,
    config: ClassificationConfig,
    *,
    inputs: Mapping[str, Input],
    metrics: Mapping[str, Any],
    examples: Tensor | None = None,
) -> dict[str, Any]:
    """Write the classifier, its backbone, an ONNX file and the card.

    Args:
        classifier: Trained.
        folder: Local or any fsspec address.
        config: What training was told.
        inputs: Of the artifact, by role.
        metrics: Measured numbers, for the card.
        examples: ``(B, 3, H, W)`` pictures that the ONNX file is checked on; without them it is not
            written.

    Returns:
        More metrics: ``files`` and, with examples, ``onnx_difference``.

    Raises:
        RuntimeError: If the ONNX file computes something else.
    """
    added: dict[str, Any] = {"files": save_classifier(classifier, folder)}
    written = load_classifier(folder)
    if examples is not None:
        added["onnx_difference"] = _export_onnx(written, f"{folder}/{ONNX_FILE}", examples)
        added["files"].append(ONNX_FILE)
    added["files"].append(CARD_FILE)
    card = _card(written, config, inputs, {**metrics, **added})
    storage.write_bytes(f"{folder}/{CARD_FILE}", card.encode())
    return added


def _export_onnx(classifier: Classifier, url: str, pictures: Tensor) -> float:
    deployed = DeployedClassifier(classifier).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ONNX_FILE
        run = write_onnx(deployed, path, pictures, NAMES, {name: {0: "batch"} for name in NAMES})
        with torch.inference_mode():
            wanted = deployed(pictures)[0].numpy()
        worst = float(np.abs(run(pictures)[0] - wanted).max())
        if not worst <= TOLERANCE:
            raise RuntimeError(f"{url}: differs from the model by {worst:.2e}, over {TOLERANCE}")
        storage.write_bytes(url, path.read_bytes())
    return worst


def _card(
    classifier: Classifier,
    config: ClassificationConfig,
    inputs: Mapping[str, Input],
    metrics: Mapping[str, Any],
) -> str:
    names, architecture = ", ".join(classifier.classes), classifier.loaded.architecture
    return f"""# {architecture}: {names}

- **Tells apart** {len(classifier.classes)} classes, by label: {names}.
- **Backbone started from**: `{config.backbone}`.
- **Licence**: the network is timm's code, Apache-2.0. The pictures and the weights it started from
  have licences of their own.
- **Pictures**: RGB in [0, 1], squashed to {config.image_size} x {config.image_size} pixels, minus
  {list(classifier.loaded.mean)}, over {list(classifier.loaded.std)}.
- **Open it**, in this directory:

```python
import timm

model = timm.create_model(
    "{architecture}", num_classes={len(classifier.classes)}, checkpoint_path="model.safetensors"
).eval()
```

Made from:

{lineage(inputs)}

{number_table(metrics)}

Settings:

{settings_block(config)}
"""
