"""Share a loop out among as many threads as torch has.

The compiled loops let go of Python's lock, so plain threads run them side by side. Between loops they sleep: unlike
OpenMP's they do not spin on a processor that somebody else needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

LEAST = 1024
"""Smallest share of a loop that is worth a thread of its own, in points."""

_pool: ThreadPoolExecutor | None = None


def share(loop: Callable[[int, int], object], count: int, least: int = LEAST) -> None:
    """Run loop(first, last) over ranges that together are 0 to `count`.

    Args:
        loop: works on its range only, without Python's lock.
        count: length of the whole range.
        least: smallest share that is worth a thread.
    """
    parts = max(1, min(torch.get_num_threads(), count // least))
    bounds = [part * count // parts for part in range(parts + 1)]
    others = [_threads().submit(loop, *bounds[part : part + 2]) for part in range(1, parts)]
    loop(*bounds[:2])
    for other in others:
        other.result()


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), "hash-grid")
    return _pool


def _forget_pool() -> None:
    """A forked child has none of its parent's threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
