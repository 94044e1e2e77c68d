"""The micro pipeline's model card, whose front matter names the licence as the hub's cards do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from millsight.generators.diffusion.micro.commands import PretrainDiffusionConfig

CARD = """\
---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---
# A micro latent-diffusion pipeline of procedural steel

Made by `millsight pretrain autoencoder` and `millsight pretrain diffusion` from rendered pictures
alone. No other's weights are in it; the autoencoder's loss compared features of an ImageNet
network. It draws what the renderer of `millsight generate procedural` draws; on photographs it is
a stand-in with which everything can be tried without a network or a GPU.

- **Opens with** `diffusers.StableDiffusionPipeline.from_pretrained`; half floats.
- **Measured**, on held-out renderings: {metrics}
- **Settings**: {settings}
"""


def write_card(folder: Path, metrics: Mapping[str, Any], config: PretrainDiffusionConfig) -> None:
    """Write the card into the pipeline's folder."""
    text = CARD.format(metrics=json.dumps(metrics), settings=json.dumps(asdict(config.training)))
    (folder / "README.md").write_text(text, encoding="utf-8")
