"""Settings of the micro CLIP's training."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class NetworkConfig:
    """Shape of the network, in open_clip's terms.

    Attributes:
        image_size: Side of the square input, pixels.
        patch_size: Side of a patch, pixels.
        layers: Blocks of the vision tower.
        width: Width of the vision tower.
        head_width: Width of one attention head of the vision tower.
        embed_dim: Width of the space that pictures and texts share.
        text_layers: Blocks of the text tower.
        text_width: Width of the text tower.
        context_length: Tokens of a text at most.
    """

    image_size: int = 96
    patch_size: int = 8
    layers: int = 8
    width: int = 128
    head_width: int = 32
    embed_dim: int = 128
    text_layers: int = 3
    text_width: int = 64
    context_length: int = 48

    def model_cfg(self) -> dict[str, object]:
        """Return the ``model_cfg`` of an open_clip_config.json."""
        return {
            "embed_dim": self.embed_dim,
            "vision_cfg": {
                "image_size": self.image_size,
                "patch_size": self.patch_size,
                "layers": self.layers,
                "width": self.width,
                "head_width": self.head_width,
            },
            "text_cfg": {
                "context_length": self.context_length,
                "vocab_size": 49408,
                "width": self.text_width,
                "heads": self.text_width // 16,
                "layers": self.text_layers,
            },
        }


@dataclass
class LossConfig:
    """Weights of the three losses.

    Attributes:
        contrastive: Pictures against captions; captions of the same class are no negatives.
        distillation: V-V patch tokens against the teacher's dense features; 0 leaves it out.
        region: V-V patch tokens against "good" and "defect" sentences, by the mask; 0 leaves it
            out.
    """

    contrastive: float = 1.0
    distillation: float = 2.0
    region: float = 1.0


@dataclass
class MicroClipConfig:
    """Everything that decides the trained weights.

    Attributes:
        network: Shape of the network.
        loss: Weights of the losses.
        teacher: Vision-only weights whose dense features are distilled.
        epochs: Passes over the pictures; the learning rate's schedule spans them.
        batch_size: Pictures per step.
        learning_rate: Peak of AdamW's one-cycle schedule (linear warm-up, cosine decay).
        weight_decay: Of AdamW, on matrices only.
        holdout: Share of the pictures kept for evaluation.
        seed: Of initial weights, order, augmentation and choice of captions.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    teacher: str = "embedded:efficientnet-lite0"
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    holdout: float = 0.05
    seed: int = 0
