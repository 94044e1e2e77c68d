"""Weights from the Hugging Face hub, with a way out where there is no network."""

from __future__ import annotations

import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from millsight.platform.errors import UserError
from millsight.platform.weights import names
from millsight.platform.weights.loaded import LoadedWeights, pack

# Config file of each Hugging Face layout, and its weight files, the preferred one first.
LAYOUTS = {
    "open_clip_config.json": (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin",
    ),
    "config.json": ("model.safetensors", "pytorch_model.bin"),
}
CONNECT_SECONDS = 5


def load_timm(source: str, name: str, *, offline: bool) -> LoadedWeights:
    """Load timm's own pretrained weights; ``name`` is ``NAME`` or ``NAME.TAG``.

    Raises:
        UserError: See ``load_weights``.
    """
    import timm

    config = names.timm_config(name)
    pretrained: Any = timm.get_pretrained_cfg(name)
    if pretrained is None or not pretrained.hf_hub_id:
        known = timm.list_pretrained(f"{config['architecture']}*")
        raise names.unknown("timm weights", name, known or timm.list_pretrained())
    wanted = pretrained.hf_hub_filename
    candidates = (wanted,) if wanted else LAYOUTS["config.json"]
    path = _first_on_hub(source, pretrained.hf_hub_id, candidates, offline=offline)
    model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    return pack(source, "timm", config["architecture"], config, model.state_dict())


def load_open_clip(source: str, name: str, *, offline: bool) -> LoadedWeights:
    """Load open_clip's own pretrained weights; ``name`` is ``MODEL/TAG``.

    Raises:
        UserError: See ``load_weights``.
    """
    import open_clip

    model_name, _, tag = name.partition("/")
    pretrained = open_clip.get_pretrained_cfg(model_name, tag)
    if not pretrained:
        known = [f"{model}/{known_tag}" for model, known_tag in open_clip.list_pretrained()]
        raise names.unknown("open_clip weights", name, known)
    repository, _, filename = pretrained["hf_hub"].rpartition("/")
    candidates = (filename,) if filename else LAYOUTS["open_clip_config.json"]
    path = _first_on_hub(source, repository, candidates, offline=offline)
    keys = ("mean", "std", "interpolation", "resize_mode")
    config = names.open_clip_config(
        model_name, {k: pretrained[k] for k in keys if pretrained.get(k)}
    )
    # The tag knows the activation its weights were trained with; the model's name may not.
    if pretrained.get("quick_gelu"):
        config["model_cfg"]["quick_gelu"] = True
    model = open_clip.create_model(
        model_name,
        pretrained=str(path),
        force_quick_gelu=bool(pretrained.get("quick_gelu")),
        weights_only=True,
    )
    return pack(source, "open_clip", model_name, config, model.state_dict())


def fetch_repository(source: str, rest: str, *, offline: bool) -> Path:
    """Fetch config and weights of ``ORG/REPO@REVISION``; return the folder they lie in.

    Raises:
        UserError: If the revision is not a full commit, or see ``load_weights``.
    """
    repository, revision = _pinned(source, rest)
    config = _first_on_hub(source, repository, tuple(LAYOUTS), revision, offline=offline)
    _first_on_hub(source, repository, LAYOUTS[config.name], revision, offline=offline)
    return config.parent


def fetch_files(source: str, patterns: Sequence[str], *, offline: bool) -> Path:
    """Fetch those files of ``[hf:]ORG/REPO@REVISION`` that match; return the folder they lie in.

    Args:
        source: The source string.
        patterns: With ``*``, as ``fnmatch`` reads them.
        offline: Look only among what was fetched earlier.

    Raises:
        UserError: If the revision is not a full commit, or the files cannot be fetched.
    """
    import httpx
    from huggingface_hub import constants, snapshot_download

    repository, revision = _pinned(source, source.removeprefix("hf:"))
    wanted = list(patterns)
    try:
        if not offline:
            _probe(constants.ENDPOINT)
        return Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=wanted, local_files_only=offline
            )
        )
    # ValueError: the hub's client on a malformed repository name.
    except (httpx.HTTPError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{source} cannot be downloaded: {reason}. Ways out: on a machine with network run "
            f"`hf download {repository} --revision {revision} --local-dir DIR`, bring DIR here and "
            f"name it instead; or bring that machine's cache to {constants.HF_HUB_CACHE} (HF_HOME "
            "moves it)."
        ) from error


def _pinned(source: str, rest: str) -> tuple[str, str]:
    repository, _, revision = rest.partition("@")
    if repository.count("/") != 1 or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(
            f"weights {source!r}: a hub source names a commit, 40 hex digits, so that the weights "
            "cannot change under you: hf:ORG/REPO@REVISION. The commit is on the repository's page "
            f"under Files and versions (https://huggingface.co/{repository}/commits/main)."
        )
    return repository, revision


def _first_on_hub(
    source: str,
    repository: str,
    candidates: Sequence[str],
    revision: str | None = None,
    *,
    offline: bool,
) -> Path:
    import httpx
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for filename in candidates:
        cached = try_to_load_from_cache(repository, filename, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    try:
        if offline:
            raise _UnreachableError(
                "MILLSIGHT_OFFLINE or HF_HUB_OFFLINE is set and they are not in the cache"
            )
        _probe(constants.ENDPOINT)
        for filename in candidates:
            try:
                return Path(hf_hub_download(repository, filename, revision=revision))
            except LocalEntryNotFoundError:
                raise
            except EntryNotFoundError:
                continue
        raise _UnreachableError(f"{repository} holds none of {', '.join(candidates)}")
    # ValueError: the hub's client on a malformed repository name.
    except (_UnreachableError, httpx.HTTPError, OSError, ValueError) as error:
        raise _remedy(source, repository, candidates, revision, error) from error


def _probe(endpoint: str) -> None:
    """Notice a missing network in seconds; the hub's client would retry for minutes."""
    url = urllib.parse.urlsplit(endpoint)
    host = url.hostname or ""
    if url.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
        return
    port = url.port or (443 if url.scheme == "https" else 80)
    socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()


def _remedy(
    source: str,
    repository: str,
    candidates: Sequence[str],
    revision: str | None,
    error: Exception,
) -> UserError:
    from huggingface_hub.constants import HF_HUB_CACHE

    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    pin = f" --revision {revision}" if revision else ""
    return UserError(
        f"weights {source!r} cannot be downloaded: {reason}. Ways out: on a machine with network "
        f"run `hf download {repository}{pin} --local-dir DIR` (needed are its config and "
        f"{' or '.join(candidates)}), bring DIR here and say path:DIR; or bring that machine's "
        f"cache to {HF_HUB_CACHE} (HF_HOME moves it); or use weights that are here already: "
        "embedded:micro-clip (picture and text), embedded:efficientnet-lite0 (picture only)."
    )


class _UnreachableError(Exception):
    """No network is to be tried, or the hub does not have the file."""
