"""The devices that train: the GPUs of this machine that CUDA_VISIBLE_DEVICES leaves, or its processor."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import NamedTuple

import torch

VISIBLE = "CUDA_VISIBLE_DEVICES"
ON = " on "
"""Between the name of a device and that of its machine."""


class Device(NamedTuple):
    """A device of this machine."""

    name: str
    """The name that its measurements carry."""
    entry: str | None
    """The value of CUDA_VISIBLE_DEVICES that leaves this GPU alone, an index or a UUID; None: the processor."""

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to train here."""
        return {} if self.entry is None else {VISIBLE: self.entry}


def all_devices() -> list[Device]:
    """The GPUs that this process may use, in CUDA's order; the processor if CUDA has none, or cannot start."""
    if not torch.cuda.is_available():
        return [Device(name_of(torch.device("cpu")), None)]
    torch.cuda.init()  # before, torch counts GPUs that CUDA may not show
    entries = _entries()
    parts = bool(entries) and all(map(_is_part, entries))  # a process sees one of them, and each run is a process
    number = len(entries) if parts else torch.cuda.device_count()
    return [Device(_gpu(i, entries), _entry(i, entries)) for i in range(number)]


def name_of(device: torch.device) -> str:
    """The name of the device that trains in this process, as `all_devices` has it. No other device has that name."""
    if device.type == "cuda":
        return _gpu(device.index or 0, _entries())
    return f"{processor() if device.type == 'cpu' else device}{ON}{platform.node()}"


def _entries() -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES lists, by index or UUID; none where it is not set."""
    return [entry.strip() for entry in os.environ.get(VISIBLE, "").split(",") if entry.strip()]


def _entry(index: int, entries: list[str]) -> str:
    return entries[index] if index < len(entries) else str(index)


def _gpu(index: int, entries: list[str]) -> str:
    """The model of a GPU, and the beginning of its UUID; of a part of a GPU all of it."""
    entry = _entry(index, entries)
    gpu = torch.cuda.get_device_properties(0 if _is_part(entry) else index)
    return f"{gpu.name} ({entry if _is_part(entry) else f'GPU-{str(gpu.uuid)[:8]}'})"


def _is_part(entry: str) -> bool:
    """Whether an entry of CUDA_VISIBLE_DEVICES is a part of a GPU (MIG)."""
    return entry.startswith("MIG-")


def processor() -> str:
    """The processor's model name, if the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
