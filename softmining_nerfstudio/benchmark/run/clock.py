"""What training takes: time on the wall and on the processor, and memory; evaluations are left out."""

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
    """Time spent training: on the wall, and on the processor by all threads of this process. Seconds.

    Args:
        device: that trains.
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
        """Go on."""
        self._since = self._now()

    def stop(self) -> None:
        """Add what has passed since the start."""
        now = self._now()
        self.seconds += now[0] - self._since[0]
        self.cpu_seconds += now[1] - self._since[1]


def peak_memory(device: torch.device) -> int:
    """Most memory held since it was last forgotten, bytes: of the GPU if one trains, of this process otherwise.

    0 where the system cannot tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak_memory(device: torch.device) -> None:
    """Let an evaluation's memory not count as training's, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
