"""The machine and the software of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from softmining_nerfstudio import __version__


def environment() -> dict[str, str | int | None]:
    """Processor, GPU and versions, for `suite.json`."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
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


def _cpu() -> str:
    """The processor's model name, if the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
