"""The multi-task network: one encoder, a mask decoder, a sample head and the gate between them.

Shapes: B pictures, H x W the input, C channels, E width of the sample's embedding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, cast

import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from millsight.platform import storage
from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights
from millsight.platform.weights.carry_over import CarryOver, carry_over, unflattened
from millsight.pretraining.downstream.multitask.config import Mode, MultitaskConfig

EMBEDDING = 128
# A pixel is seldom defect: training starts at a probability of 0.05, not of 0.5.
MASK_BIAS = -3.0
SPEC_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"


class MultitaskOutput(NamedTuple):
    """What the network says of B pictures.

    Attributes:
        mask_logits: float32 (B, 1, H, W).
        sample_logits: float32 (B,), above 0 for a defective sample; ``None`` in mode ``pixel``.
    """

    mask_logits: Tensor
    sample_logits: Tensor | None

    def scores(self) -> Tensor:
        """Return float32 (B,) in [0, 1]: how sure the network is that the sample has a defect.

        The sample head's probability; without a head, that of the most suspicious pixel.
        """
        if self.sample_logits is None:
            return self.mask_logits.sigmoid().amax(dim=(1, 2, 3))
        return self.sample_logits.sigmoid()


@dataclass(frozen=True)
class ModelSpec:
    """What is needed to build the network again and to feed it.

    Attributes:
        architecture: timm's name of the encoder.
        encoder_arguments: More arguments of timm's factory.
        mean: Of an RGB picture in [0, 1], subtracted inside the network.
        std: Divided by, after the mean.
        mode: See ``MultitaskConfig``.
        image_size: Height and width of the input, pixels.
        decoder_channels: See ``MultitaskConfig``.
    """

    architecture: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    mode: Mode
    image_size: tuple[int, int]
    decoder_channels: tuple[int, ...]
    encoder_arguments: dict[str, Any] = field(default_factory=dict)


class SampleGate(nn.Module):
    """Scales each channel of the decoder's features by what the sample's embedding says.

    ``features * 2 * sigmoid(W embedding + b)``, METHODS.md section 5. W and b start at zero, so the
    gate starts at 1 and the gated network as the joint one.
    """

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding, channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Gate float32 (B, C, h, w) features by float32 (B, E) embeddings."""
        gate = 2 * torch.sigmoid(self.linear(embedding))
        return features * gate[:, :, None, None]


class MultitaskModel(nn.Module):
    """U-Net over a timm encoder with a sample head on the encoder's deepest features.

    The encoder's batch normalisation keeps the statistics of its pretraining: those of a few
    pictures, half of them defective, are another distribution than the one that is predicted.

    Args:
        spec: What to build. With the global seed fixed, the three modes start from equal weights
            wherever they share layers.

    Raises:
        UserError: If the encoder has no feature pyramid that a U-Net can use.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.unet = _unet(spec)
        self.register_buffer("mean", torch.tensor(spec.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(3, 1, 1), persistent=False)
        channels = self.unet.encoder.out_channels[-1]
        sampled, gated = spec.mode != "pixel", spec.mode == "gated"
        self.embed = nn.Sequential(nn.Linear(channels, EMBEDDING), nn.ReLU()) if sampled else None
        self.classify = nn.Linear(EMBEDDING, 1) if sampled else None
        self.gate = SampleGate(EMBEDDING, spec.decoder_channels[-1]) if gated else None
        nn.init.constant_(self.unet.segmentation_head[0].bias, MASK_BIAS)
        self.train()

    @property
    def encoder(self) -> nn.Module:
        """The part that both tasks share: timm's feature-extracting network."""
        return cast(nn.Module, self.unet.encoder.model)

    def train(self, mode: bool = True) -> MultitaskModel:
        """Set the mode of everything but the encoder's batch normalisation."""
        super().train(mode)
        for layer in self.encoder.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self

    def forward(self, pictures: Tensor) -> MultitaskOutput:
        """Run the network.

        Args:
            pictures: float32 (B, 3, H, W), RGB in [0, 1].
        """
        features = self.unet.encoder((pictures - self.mean) / self.std)
        decoded = self.unet.decoder(features)
        sample_logits = None
        if self.embed is not None and self.classify is not None:
            embedding = self.embed(features[-1].mean(dim=(2, 3)))
            sample_logits = self.classify(embedding).squeeze(1)
            if self.gate is not None:
                decoded = self.gate(decoded, embedding)
        return MultitaskOutput(self.unet.segmentation_head(decoded), sample_logits)


def start_model(config: MultitaskConfig, loaded: LoadedWeights) -> tuple[MultitaskModel, CarryOver]:
    """Build the network for training: pretrained encoder, everything else seeded at random.

    Raises:
        UserError: If the weights are not a timm network's, or do not fit its encoder.
    """
    if loaded.library != "timm":
        raise UserError(
            f"--training.encoder {config.encoder}: {loaded.architecture} is an open_clip model; "
            "the multi-task model needs a timm network, for example embedded:efficientnet-lite0."
        )
    spec = ModelSpec(
        architecture=loaded.architecture,
        mean=loaded.mean,
        std=loaded.std,
        mode=config.mode,
        image_size=config.size,
        decoder_channels=tuple(config.decoder_channels),
        encoder_arguments=dict(loaded.config.get("model_args", {})),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = MultitaskModel(spec)
    # A quarter faster on a CPU, with equal results.
    model = model.to(memory_format=torch.channels_last)
    return model, load_encoder(model, loaded.state_dict)


def load_encoder(model: MultitaskModel, state: Mapping[str, Tensor]) -> CarryOver:
    """Copy tensors of the whole timm network into the encoder.

    Raises:
        UserError: If one of the encoder's tensors is absent or of another shape.
    """
    names = unflattened(model.encoder.state_dict(), state)
    return carry_over(model, model.encoder, names, state, "--training.encoder")


def save_model(model: MultitaskModel, directory: str) -> None:
    """Write ``model.json`` and ``model.safetensors``."""
    text = json.dumps(asdict(model.spec), indent=2) + "\n"
    storage.write_bytes(f"{directory}/{SPEC_FILE}", text.encode())
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    storage.write_bytes(f"{directory}/{WEIGHTS_FILE}", save(tensors, metadata={"format": "pt"}))


def read_model(directory: str) -> MultitaskModel:
    """Read what ``save_model`` wrote; in evaluation mode, on the CPU."""
    values = json.loads(storage.read_bytes(f"{directory}/{SPEC_FILE}"))
    triples = {
        name: tuple(values[name]) for name in ("mean", "std", "image_size", "decoder_channels")
    }
    model = MultitaskModel(ModelSpec(**(values | triples)))
    model.load_state_dict(load(storage.read_bytes(f"{directory}/{WEIGHTS_FILE}")))
    return model.eval()


def _unet(spec: ModelSpec) -> Any:
    try:
        return smp.Unet(
            encoder_name=f"tu-{spec.architecture}",
            encoder_weights=None,
            decoder_channels=spec.decoder_channels,
            **spec.encoder_arguments,
        )
    except (ValueError, RuntimeError, AttributeError, TypeError) as error:
        raise UserError(
            f"--training.encoder: no U-Net can be built on timm's {spec.architecture} ({error}); "
            "it needs features at strides 2 to 32."
        ) from error
