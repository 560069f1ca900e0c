"""How many threads a training on a CPU takes: torch all idle cores but one, on which the next batch is drawn.

Torch's threads spin while they wait for one another. On a core that another process wants, one that has been
descheduled keeps all others spinning, and a step takes many times as long as with a single thread.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection

import torch

LOOK = 0.5
"""Seconds for which the cores are looked at."""


def own_cores() -> Collection[int]:
    """The numbers of the cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


@functools.cache
def idle_cores() -> int:
    """Cores of this process that no other one keeps busy, when this is first asked; at least one."""
    import psutil  # not when nerfstudio looks what plugins there are

    busy = psutil.cpu_percent(LOOK, percpu=True)
    return max(1, round(sum(1 - busy[core] / 100 for core in own_cores() if core < len(busy))))


def leave_busy_cores_alone() -> int:
    """Let torch take the idle cores but one, unless the user has set OMP_NUM_THREADS or another of OpenMP's variables.

    Returns:
        Torch's number of threads.
    """
    if not _chosen_by_user():
        torch.set_num_threads(max(1, min(torch.get_num_threads(), idle_cores() - 1)))
    return torch.get_num_threads()


def core_to_spare() -> bool:
    """Whether a core is idle besides those that torch takes. A user who chose the threads gets no more of them."""
    return not _chosen_by_user() and idle_cores() > torch.get_num_threads()


def _chosen_by_user() -> bool:
    return any(name.startswith("OMP_") for name in os.environ)
