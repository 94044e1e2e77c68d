"""The checks that ``millsight doctor`` makes on one machine."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MIB = 2**20
GIB = 2**30
TORCHVISION_BEHIND_TORCH = 14  # torch 2.15 belongs to torchvision 0.29: minor + 14


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What.
        status: ``warn`` costs time or comfort, ``fail`` stops a run.
        detail: What was found.
        remedy: What to do about it, empty if ``ok``.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""


def check_machine(directory: str) -> list[Check]:
    """Make all checks of this machine, in the order in which one mends things.

    Args:
        directory: Where runs will be written.
    """
    checks = (
        _python,
        _standard_platform,
        _torch,
        _cuda,
        _cv2,
        _memory,
        _threads,
        _shared_memory,
        lambda: _disk(directory),
        lambda: _write(directory),
        _weights,
        _ray,
        _wandb,
        _clock,
    )
    return [_guarded(check) for check in checks]


def _guarded(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:
        name = check.__name__.strip("_<>").replace("_", " ")
        return Check(name, "fail", f"{type(error).__name__}: {error}", "reinstall millsight here")


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{version} at {sys.executable}")


def _standard_platform() -> Check:
    import platform

    origin = getattr(platform, "__file__", None)
    if origin and hasattr(platform, "python_version"):
        return Check("standard library's platform", "ok", origin)
    remedy = "remove the __init__.py at the top of the folder platform/, which hides it"
    return Check("standard library's platform", "fail", f"hidden by {origin}", remedy)


def _torch() -> Check:
    pair = {name: importlib.metadata.version(name) for name in ("torch", "torchvision")}
    detail = ", ".join(f"{name} {version}" for name, version in pair.items())
    remedy = "install both with constraints.txt, from one registry"
    torch_minor, vision_minor = (int(version.split(".")[1]) for version in pair.values())
    try:
        import torchvision.ops  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        return Check("torch and torchvision", "fail", f"{detail}: {error}", remedy)
    if torch_minor + TORCHVISION_BEHIND_TORCH != vision_minor:
        return Check("torch and torchvision", "warn", f"{detail} are no pair", remedy)
    return Check("torch and torchvision", "ok", detail)


def _cuda() -> Check:
    import torch

    driver = Path("/proc/driver/nvidia/version").exists()
    if not torch.cuda.is_available():
        if not driver:
            return Check("GPU", "ok", "none; everything runs on the CPU")
        remedy = "compare `nvidia-smi` with torch.version.cuda; the driver may be too old"
        return Check("GPU", "fail", "there is a driver, and torch does not see a GPU", remedy)
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    torch.ones(1, device="cuda").sum().item()
    free, total = torch.cuda.mem_get_info()
    detail = f"{', '.join(names)}; {free / GIB:.0f} of {total / GIB:.0f} GiB free"
    return Check("GPU", "ok", f"{detail}, CUDA {torch.version.cuda}")


def _cv2() -> Check:
    try:
        import cv2
    except ImportError as error:
        remedy = "apt-get install libgl1 libglib2.0-0 (or the same from your distribution)"
        return Check("opencv", "fail", str(error), remedy)
    return Check("opencv", "ok", cv2.__version__)


def _memory() -> Check:
    lines = Path("/proc/meminfo").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    total = found["MemTotal"] if text == "max" else min(int(text), found["MemTotal"])
    free = min(found["MemAvailable"], total)
    detail = f"{free / GIB:.1f} of {total / GIB:.1f} GiB available"
    if free < 2 * GIB:
        remedy = "each worker takes about 1 GiB and the encoder; end something or use fewer workers"
        return Check("memory", "warn", detail, remedy)
    return Check("memory", "ok", detail)


def _threads() -> Check:
    cores = len(os.sched_getaffinity(0))
    threads = os.environ.get("OMP_NUM_THREADS")
    detail = f"{cores} cores, OMP_NUM_THREADS {threads or 'unset'}"
    if threads is not None and threads.isdigit() and int(threads) > cores:
        remedy = f"set OMP_NUM_THREADS to {cores} or less: threads that fight over cores crawl"
        return Check("cores", "warn", detail, remedy)
    return Check("cores", "ok", detail)


def _shared_memory() -> Check:
    free = shutil.disk_usage("/dev/shm").free  # noqa: S108 - Ray's object store lies there
    detail = f"{free / GIB:.1f} GiB free in /dev/shm"
    if free < GIB:
        remedy = "in a container, give it more: docker run --shm-size=4g"
        return Check("shared memory", "warn", detail, remedy)
    return Check("shared memory", "ok", detail)


def _disk(directory: str) -> Check:
    free = shutil.disk_usage(directory).free
    detail = f"{free / GIB:.1f} GiB free at {Path(directory).resolve()}"
    if free < GIB:
        return Check("disk", "fail", detail, "free some, or name another --directory")
    if free < 5 * GIB:
        return Check("disk", "warn", detail, "maps take 2 KB a picture, model downloads gigabytes")
    return Check("disk", "ok", detail)


def _write(directory: str) -> Check:
    from millsight.platform import storage

    probe = Path(directory) / f".millsight-doctor-{os.getpid()}"
    try:
        storage.write_bytes(probe, b"here")
        probe.unlink()
    except OSError as error:
        remedy = "name a directory you may write to with --directory, and runs with --workspace"
        return Check("write access", "fail", str(error), remedy)
    return Check("write access", "ok", str(Path(directory).resolve()))


def _weights() -> Check:
    from millsight.platform.weights.sources import embedded_names, load_weights

    found = {name: load_weights(f"embedded:{name}", offline=True) for name in embedded_names()}
    shown = ", ".join(f"{name} {loaded.fingerprint[:12]}" for name, loaded in found.items())
    return Check("embedded weights", "ok", shown)


def _ray() -> Check:
    version = importlib.metadata.version("ray")
    if int(version.split(".")[1]) < 60:
        return Check("ray", "fail", version, "install ray[default] 2.60 or newer")
    address = os.environ.get("RAY_ADDRESS")
    return Check("ray", "ok", f"{version}, RAY_ADDRESS {address or 'unset'}")


def _wandb() -> Check:
    from millsight.platform.tracking.config import TrackingConfig

    mode = TrackingConfig().wandb_mode()
    return Check("wandb", "ok", f"{importlib.metadata.version('wandb')}, mode {mode}")


def _clock() -> Check:
    import time

    year = time.gmtime().tm_year
    if year < 2025:
        return Check("clock", "warn", f"it says {year}", "set the clock; TLS and W&B need it")
    return Check("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
