"""From loaded weights to a network."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from millsight.platform.errors import UserError
from millsight.platform.weights.loaded import LoadedWeights

if TYPE_CHECKING:
    from torch import nn

SHOWN_KEYS = 5


def build_model(loaded: LoadedWeights) -> nn.Module:
    """Build the network and put the weights into it, strictly, in evaluation mode.

    The tensors are assigned, not copied: a network built on shared memory shares it. To build
    from arrays that travelled by another way, pass
    ``dataclasses.replace(loaded, state_dict=tensors)``.

    Returns:
        An ``open_clip`` CLIP, CustomTextCLIP or CoCa, a timm model, or a ``CspDarknet``, on the CPU
        in float32.

    Raises:
        UserError: If keys or shapes do not fit the architecture; lists them.
    """
    model = construct(loaded.library, loaded.architecture, loaded.config)
    _check_fit(loaded, model)
    model.load_state_dict(loaded.state_dict, strict=True, assign=True)
    return model.eval()


def construct(library: str, architecture: str, config: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights from the library's own config layout.

    Raises:
        UserError: If the library does not accept the config.
    """
    try:
        if library == "ultralytics":
            return _csp_darknet(architecture, config)
        return _open_clip(config) if library == "open_clip" else _timm(architecture, config)
    except (TypeError, KeyError, ValueError, RuntimeError, AttributeError, OSError) as error:
        raise UserError(
            f"{library} cannot build {architecture!r} from its config "
            f"({type(error).__name__}: {error}); mend the config file beside the weights, or "
            f"update {library}."
        ) from error


def _open_clip(config: Mapping[str, Any]) -> nn.Module:
    import open_clip
    from open_clip.model import set_model_preprocess_cfg
    from open_clip.transform import PreprocessCfg

    arguments = deepcopy(dict(config["model_cfg"]))
    custom_text = arguments.pop("custom_text", False)
    # The towers' own downloads are never wanted: all weights come from the source.
    if "timm_model_name" in arguments["vision_cfg"]:
        arguments["vision_cfg"]["timm_model_pretrained"] = False
    if "hf_model_name" in arguments["text_cfg"]:
        arguments["text_cfg"]["hf_model_pretrained"] = False
        custom_text = True
    if "multimodal_cfg" in arguments:
        model_class = open_clip.CoCa
    else:
        model_class = open_clip.CustomTextCLIP if custom_text else open_clip.CLIP
    model: nn.Module = model_class(**arguments)
    default = vars(PreprocessCfg())
    given = {k: v for k, v in (config.get("preprocess_cfg") or {}).items() if k in default}
    size = getattr(model.visual, "image_size", default["size"])
    set_model_preprocess_cfg(model, default | {"size": size} | given)
    return model


def _timm(architecture: str, config: Mapping[str, Any]) -> nn.Module:
    import timm

    overlay = {**config.get("pretrained_cfg", {})}
    arguments = {"num_classes": config.get("num_classes"), **config.get("model_args", {})}
    model: nn.Module = timm.create_model(
        architecture, pretrained=False, pretrained_cfg_overlay=overlay, **arguments
    )
    return model


def _csp_darknet(architecture: str, config: Mapping[str, Any]) -> nn.Module:
    from millsight.platform.weights.csp_darknet import NAME, CspDarknet

    return CspDarknet(architecture.removeprefix(NAME), config["num_classes"])


def _check_fit(loaded: LoadedWeights, model: nn.Module) -> None:
    expected = model.state_dict()
    given = loaded.state_dict
    shared = expected.keys() & given.keys()
    problems = {
        "missing": sorted(expected.keys() - given.keys()),
        "unexpected": sorted(given.keys() - expected.keys()),
        "of another shape": sorted(
            f"{key} {tuple(given[key].shape)} instead of {tuple(expected[key].shape)}"
            for key in shared
            if given[key].shape != expected[key].shape
        ),
    }
    if not any(problems.values()):
        return
    lines = [f"{len(keys)} {kind}: {_shorten(keys)}" for kind, keys in problems.items() if keys]
    raise UserError(
        f"{loaded.source}: these weights do not fit {loaded.library}'s {loaded.architecture}; "
        f"{'; '.join(lines)}. Name the architecture they were trained with "
        "(path:FILE#timm:NAME or path:FILE#open_clip:NAME), or a directory with its config file."
    )


def _shorten(keys: list[str]) -> str:
    more = len(keys) - SHOWN_KEYS
    return ", ".join(keys[:SHOWN_KEYS]) + (f" and {more} more" if more > 0 else "")
