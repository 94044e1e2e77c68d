"""The model card: what a pretrained backbone is and what it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millsight.platform import storage
from millsight.platform.fingerprints import Input
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.backbone.config import BackboneConfig
from millsight.pretraining.model_card import lineage, number_table, settings_block

TIMM = """timm.create_model("{architecture}", num_classes=0,
  checkpoint_path="model.safetensors")"""
ULTRALYTICS = """ultralytics.YOLO("{architecture}.yaml").model.model[:10].load_state_dict(
  safetensors.torch.load_file("model.safetensors"))"""


def write_card(
    address: str,
    config: BackboneConfig,
    maps: Mapping[str, Input],
    loaded: LoadedWeights,
    metrics: Mapping[str, Any],
) -> None:
    """Write the card with the lineage back to maps, encoder, prompts and pictures.

    Args:
        address: Of the file.
        config: Settings.
        maps: The artifacts of the maps, by role.
        loaded: What training started from.
        metrics: Of the artifact.
    """
    guided = "guided by anomaly maps (AGBP)" if config.distill else "without anomaly maps"
    opened = TIMM if loaded.library == "timm" else ULTRALYTICS
    text = f"""# {loaded.architecture}, pretrained {guided}

- **Task**: {config.task}; distilled stages: the last {config.stages if config.distill else 0}.
- **Started from**: `{loaded.source}`, tensors' SHA-256 `{loaded.sha256[:16]}`.
- **Open it** with `{opened.format(architecture=loaded.architecture)}`, or name this
  directory as `path:DIRECTORY` to any millsight command. The head was taken off.

Made from:

{lineage(maps)}

{number_table(metrics)}

Settings:

{settings_block(config)}
"""
    storage.write_bytes(address, text.encode())
