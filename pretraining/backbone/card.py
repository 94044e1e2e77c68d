"""The model card: what a pretrained backbone is and what it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from millsight.platform import storage
from millsight.platform.artifacts import Artifact
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.backbone.config import BackboneConfig


def write_card(
    address: str,
    config: BackboneConfig,
    maps: Sequence[Artifact],
    loaded: LoadedWeights,
    metrics: Mapping[str, Any],
) -> None:
    """Write the card with the lineage back to maps, encoder, prompts and pictures.

    Args:
        address: Of the file.
        config: Settings.
        maps: Artifacts of the maps.
        loaded: What training started from.
        metrics: Of the artifact.
    """
    guided = "guided by anomaly maps (AGBP)" if config.distill else "without anomaly maps"
    numbers = "\n".join(f"| {name} | {value} |" for name, value in metrics.items())
    lineage = "\n".join(_lineage(artifact) for artifact in maps)
    text = f"""# {loaded.architecture}, pretrained {guided}

- **Task**: {config.task}; distilled stages: the last {config.stages if config.distill else 0}.
- **Started from**: `{loaded.source}`, tensors' SHA-256 `{loaded.sha256[:16]}`.
- **Open it** with `timm.create_model("{loaded.architecture}", num_classes=0,
  checkpoint_path="model.safetensors")`, or name this directory as `path:DIRECTORY` to any millsight
  command. The head was taken off.

Maps it learnt from:

{lineage}

| number | value |
|---|---|
{numbers}

Settings:

```json
{json.dumps(asdict(config), indent=2)}
```
"""
    storage.write_bytes(address, text.encode())


def _lineage(artifact: Artifact) -> str:
    kead = artifact.config["kead"]
    pictures = artifact.manifest["inputs"]["data"]
    return (
        f"- {artifact.manifest['metrics'].get('pictures')} maps, fingerprint "
        f"`{artifact.fingerprint[:12]}`, of `{pictures['uri']}` "
        f"(`{pictures['fingerprint'][:12]}`), encoder `{kead['encoder']}` "
        f"(`{artifact.manifest['weights']['encoder'][:16]}`), k = {kead['k']}."
    )
