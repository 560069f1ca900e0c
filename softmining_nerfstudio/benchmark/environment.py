"""The machine and the software of a measurement."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from softmining_nerfstudio import __version__
from softmining_nerfstudio.benchmark.devices import all_devices, processor
from softmining_nerfstudio.training.threads import own_cores


def environment() -> dict[str, str | int | None]:
    """Processor, GPU and versions, for `suite.json`."""
    return {
        "cpu": processor(),
        "cores": len(own_cores()),
        "threads": torch.get_num_threads(),
        "gpu": ", ".join(device.name for device in all_devices() if device.entry is not None) or None,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "nerfstudio")},
        "softmining-nerfstudio": __version__,
        "commit": commit_of(Path(__file__).parents[2]),
    }


def commit_of(root: Path) -> str | None:
    """The commit of a checkout, marked if files have changed; None if the folder is no checkout."""
    if not (root / ".git").exists():
        return None
    described = ("describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")
    command = ["git", "--no-optional-locks", "-C", str(root), *described]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
