"""What training takes, without evaluations: time on the wall and on the processor, and memory."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None


class Clock:
    """Seconds of training: on the wall, and on the processor by all threads of this process.

    Args:
        device: The device that trains.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.seconds, self.cpu_seconds = 0.0, 0.0
        self._since = self._now()

    def _now(self) -> tuple[float, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter(), time.process_time()

    def start(self) -> None:
        """Run on."""
        self._since = self._now()

    def stop(self) -> None:
        """Stand still, and add the time since the start."""
        now = self._now()
        self.seconds += now[0] - self._since[0]
        self.cpu_seconds += now[1] - self._since[1]


def peak_memory(device: torch.device) -> int:
    """Most bytes that torch held on the GPU since `forget_peak_memory`; tiny-cuda-nn's own are not counted.

    On a processor: of this process; 0 where the system cannot tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak_memory(device: torch.device) -> None:
    """Leave the memory of an evaluation out of training's, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
