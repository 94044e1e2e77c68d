"""Base models: Stable Diffusion 1.x, 2.x, SDXL and their inpainting variants, as diffusers folders.

What a folder holds is read from its own config files; its weights are safetensors and nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from millsight.generators.diffusion.licenses import License, check_license, read_license
from millsight.platform import network
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import digest
from millsight.platform.weights.files import read_json
from millsight.platform.weights.hub import fetch_files

Family = Literal["sd", "sdxl"]

EMBEDDED_GROUP = "millsight.pipelines"
INDEX = "model_index.json"
CONFIG = "config.json"
VAE_FILE = "diffusion_pytorch_model.safetensors"
# The classes that are built, by part: a folder's own code is never run.
CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": ("CLIPTextModel",),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
STEMS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
VARIANTS = ("", ".fp16")
INPAINTING_CHANNELS = 9
FORMS = (
    "a diffusers folder, embedded:NAME, or hf:OWNER/NAME@REVISION with the commit's 40 hex digits"
)
PATTERNS = (
    INDEX,
    "README.md",
    "LICENSE*",
    "scheduler/*.json",
    "tokenizer/*",
    "tokenizer_2/*",
    *(f"{part}/config.json" for part in STEMS),
    *(f"{part}/{stem}.safetensors" for part, stem in STEMS.items()),
)


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine's disk, recognised and hashed, not yet in memory.

    Attributes:
        source: The source string it came from.
        folder: Where its files lie.
        family: ``sdxl`` has two text encoders, ``sd`` (1.x and 2.x) one.
        in_channels: Of the U-Net: 4, or 9 for an inpainting model.
        prediction_type: What the U-Net predicts: ``epsilon`` or ``v_prediction``.
        side: Side of the pictures that it was made for, pixels.
        variant: Suffix of its weight files: empty or ``.fp16``.
        vae: Folder of the autoencoder that stands in for its own; ``None`` for its own.
        license: Its terms; the autoencoder's are checked as well.
        sha256: SHA-256, 64 hex digits, over names and bytes of its weight files.
        fingerprint: The same over all weights and configs: whatever acts on a picture.
    """

    source: str
    folder: Path
    family: Family
    in_channels: int
    prediction_type: str
    side: int
    variant: str
    vae: Path | None
    license: License
    sha256: str
    fingerprint: str

    @property
    def inpainting(self) -> bool:
        """Whether the U-Net takes the mask and the masked picture too."""
        return self.in_channels == INPAINTING_CHANNELS

    def to_dict(self) -> dict[str, Any]:
        """Return what provenance says of it."""
        return {
            "source": self.source,
            "vae": None if self.vae is None else str(self.vae),
            "family": self.family,
            "inpainting": self.inpainting,
            "license": self.license.name,
            "sha256": self.sha256,
            "fingerprint": self.fingerprint,
        }


def open_base(
    source: str,
    *,
    vae: str | None = None,
    allow_non_commercial: bool = False,
    offline: bool | None = None,
) -> BaseModel:
    """Find a base model, fetch it if need be, and say what it is.

    Args:
        source: A local diffusers folder, ``embedded:NAME``, or ``hf:OWNER/NAME@REVISION`` on
            the Hugging Face hub at a commit (``hf:`` may be left out).
        vae: Folder of an ``AutoencoderKL`` or ``AutoencoderTiny`` to use instead of its own.
        allow_non_commercial: Accept a licence that forbids commercial use.
        offline: Try no network. Default: what ``MILLSIGHT_OFFLINE`` or ``HF_HUB_OFFLINE`` say.

    Raises:
        UserError: If the source is none of these, is no Stable Diffusion folder, keeps its weights
            in pickles, cannot be fetched, or its licence does not allow it.
    """
    folder = _locate(source, offline)
    index = _read_index(source, folder)
    terms = read_license(folder)
    check_license(terms, source, allow_non_commercial=allow_non_commercial)
    unet = read_json(folder / "unet" / "config.json")
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    own = None if vae is None else _locate_vae(vae, allow_non_commercial)
    levels = len(read_json((own or folder / "vae") / CONFIG).get("block_out_channels", ()))
    channels, latent_side = unet.get("in_channels"), unet.get("sample_size")
    if channels not in {4, INPAINTING_CHANNELS} or not isinstance(latent_side, int):
        raise UserError(
            f"{source}: its U-Net takes {channels} channels of side {latent_side}; text-to-image "
            "models (4) and inpainting models (9) are known, depth and upscaling models are not."
        )
    variant = _variant(source, folder, index)
    sha256, fingerprint = _hashes(folder, index, variant)
    if own is not None:
        fingerprint = digest([fingerprint, *(sha256_of(own / name) for name in (CONFIG, VAE_FILE))])
    return BaseModel(
        source=source,
        folder=folder,
        family="sdxl" if index.get("text_encoder_2") else "sd",
        in_channels=channels,
        prediction_type=str(scheduler.get("prediction_type", "epsilon")),
        side=latent_side * 2 ** (levels - 1),
        variant=variant,
        vae=own,
        license=terms,
        sha256=sha256,
        fingerprint=fingerprint,
    )


def sha256_of(file: Path) -> str:
    """SHA-256, 64 hex digits, of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _locate(source: str, offline: bool | None) -> Path:
    folder = Path(source.removeprefix("path:")).expanduser()
    if folder.is_dir():
        return folder
    kind, _, name = source.partition(":")
    if kind == "embedded":
        return _embedded(source, name)
    if "@" not in source:
        raise UserError(f"base model {source!r}: no such folder; the forms are {FORMS}.")
    quiet = network.is_forbidden("HF_HUB_OFFLINE") if offline is None else offline
    return fetch_files(source, PATTERNS, offline=quiet)


def _locate_vae(source: str, allow_non_commercial: bool) -> Path:
    folder = Path(source.removeprefix("path:")).expanduser()
    if not (folder / CONFIG).is_file() or not (folder / VAE_FILE).is_file():
        raise UserError(f"--vae {source}: needed is a folder with {CONFIG} and {VAE_FILE}.")
    name = read_json(folder / CONFIG).get("_class_name")
    if name not in CLASSES["vae"]:
        raise UserError(f"--vae {source}: {name}; known are {' and '.join(CLASSES['vae'])}.")
    check_license(read_license(folder), source, allow_non_commercial=allow_non_commercial)
    return folder


def _embedded(source: str, name: str) -> Path:
    entries = {e.name: e for e in importlib.metadata.entry_points(group=EMBEDDED_GROUP)}
    if name not in entries:
        raise UserError(f"base model {source!r}: embedded are {', '.join(entries) or 'none'}.")
    # An entry reads "package:folder", as those of the embedded weights do.
    folder = importlib.resources.files(entries[name].module) / entries[name].attr
    return Path(str(folder))


def _read_index(source: str, folder: Path) -> Mapping[str, Any]:
    if not (folder / INDEX).is_file():
        raise UserError(f"{source}: no diffusers folder, for it has no {INDEX}.")
    index = read_json(folder / INDEX)
    for part, known in CLASSES.items():
        library, name = index.get(part) or (None, None)
        if part.endswith("_2") and name is None:
            continue
        if library not in {"diffusers", "transformers"} or name not in known:
            raise UserError(
                f"{source}: its {part} is {name or 'missing'}; known are {' and '.join(known)}, as "
                "in Stable Diffusion 1.x, 2.x, SDXL and their inpainting variants."
            )
    return index


def _variant(source: str, folder: Path, index: Mapping[str, Any]) -> str:
    parts = [part for part in STEMS if index.get(part)]
    for variant in VARIANTS:
        if all(_weights(folder, part, variant).is_file() for part in parts):
            return variant
    lacking = next(part for part in parts if not _weights(folder, part, "").is_file())
    pickles = sorted(file.name for file in (folder / lacking).glob("*.bin"))
    found = f", only {pickles[0]}, a pickle, which can hold code" if pickles else ""
    raise UserError(
        f"{source}: {lacking}/ has no {STEMS[lacking]}.safetensors{found}. Where you trust it, "
        "open it once with diffusers and save_pretrained(FOLDER, safe_serialization=True)."
    )


def _weights(folder: Path, part: str, variant: str) -> Path:
    return folder / part / f"{STEMS[part]}{variant}.safetensors"


def _hashes(folder: Path, index: Mapping[str, Any], variant: str) -> tuple[str, str]:
    parts = [part for part in CLASSES if index.get(part)]
    weights = [_weights(folder, part, variant) for part in parts if part in STEMS]
    others = [
        file
        for part in (*parts, "scheduler")
        for file in sorted((folder / part).glob("*"))
        if file.suffix in {".json", ".txt"}
    ]
    sha256 = digest({str(file.relative_to(folder)): sha256_of(file) for file in weights})
    configs = {str(file.relative_to(folder)): sha256_of(file) for file in others}
    return sha256, digest([sha256, configs])
