"""Share a loop out among as many threads as torch has.

The compiled loops let go of Python's lock, so plain threads run them side by side. Between loops they sleep: unlike
OpenMP's they do not spin on a processor that somebody else needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

LEAST = 1024
"""Smallest share of a loop that is worth a thread of its own, in points."""


def share(loop: Callable[[int, int], object], count: int, least: int = LEAST) -> None:
    """Run loop(first, last) over ranges that together are 0 to `count`.

    Args:
        loop: works on its range only, without Python's lock.
        count: length of the whole range.
        least: smallest share that is worth a thread.
    """
    parts = max(1, min(torch.get_num_threads(), count // least))
    bounds = [part * count // parts for part in range(parts + 1)]
    threads = _threads(os.getpid())
    others = [threads.submit(loop, *bounds[part : part + 2]) for part in range(1, parts)]
    loop(*bounds[:2])
    for other in others:
        other.result()


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """The threads of a process; a forked one has none of its parent's."""
    del process
    return ThreadPoolExecutor(os.cpu_count(), "hash-grid")
