"""Names of architectures and their configs; what to answer to a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from millsight.platform.errors import UserError

# Of timm's pretrained_cfg, what acts on numbers.
TIMM_PREPROCESS = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode", "tag")


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """Make the error for an unknown name, with the nearest ones."""
    lowered = {k.lower(): k for k in known}
    near = [lowered[n] for n in difflib.get_close_matches(name.lower(), lowered, n=4, cutoff=0.4)]
    if not near and len(lowered) <= 10:
        near = sorted(lowered.values())
    hint = f"; did you mean {', '.join(near)}?" if near else "."
    return UserError(f"no {what} called {name!r}{hint}")


def config_of(library: str, name: str) -> dict[str, Any]:
    """Return the config, in the library's own file layout, of an architecture without weights.

    Raises:
        UserError: If the library does not know the name.
    """
    if library == "ultralytics":
        return ultralytics_config(name)
    return open_clip_config(name) if library == "open_clip" else timm_config(name)


def ultralytics_config(name: str) -> dict[str, Any]:
    """Return ``{"library", "architecture", "num_classes", "pretrained_cfg"}`` of a CSPDarknet.

    Args:
        name: ``yolov8n``, ``yolov8s``, ``yolov8m``, ``yolov8l`` or ``yolov8x``.

    Raises:
        UserError: If there is no such network.
    """
    from millsight.platform.weights.csp_darknet import NAME, SCALES

    known = [f"{NAME}{scale}" for scale in SCALES]
    if name not in known:
        raise unknown("ultralytics backbone", name, known)
    return {
        "library": "ultralytics",
        "architecture": name,
        "num_classes": 0,
        # It takes pictures in [0, 1] as they are.
        "pretrained_cfg": {
            "input_size": [3, 640, 640],
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
        },
    }


def open_clip_config(model: str, preprocess: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return ``{"model_cfg", "preprocess_cfg"}`` of a built-in open_clip model.

    Raises:
        UserError: If open_clip does not know the model.
    """
    import open_clip

    config = open_clip.get_model_config(model.replace("/", "-"))
    if config is None:
        raise unknown("open_clip model", model, open_clip.list_models())
    return {"model_cfg": config, "preprocess_cfg": preprocess or {}}


def timm_config(name: str) -> dict[str, Any]:
    """Return ``{"architecture", "num_classes", "model_args", "pretrained_cfg"}`` of a timm model.

    Args:
        name: ``NAME`` or ``NAME.TAG``.

    Raises:
        UserError: If timm does not know the model.
    """
    import timm

    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise unknown("timm model", name, timm.list_models())
    try:
        pretrained: Any = timm.get_pretrained_cfg(name)
    except RuntimeError:
        known_tags = timm.list_pretrained(f"{architecture}.*")
        raise unknown("timm weights", name, known_tags) from None
    known = pretrained.to_dict() if pretrained else {}
    return {
        "architecture": architecture,
        "num_classes": known.get("num_classes", 1000),
        "model_args": {},
        "pretrained_cfg": {k: known[k] for k in TIMM_PREPROCESS if k in known},
    }
