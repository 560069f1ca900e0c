"""Look pixels up by many threads at once: each waits for a page of the disk, and a disk serves many at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

READERS = 16
"""Threads. Random pages then come about five times as fast as to one thread."""
LEAST = 32
"""Smallest share of the lookups that is worth a thread."""

_pool: ThreadPoolExecutor | None = None


def in_parts(look_up: Callable[[slice], object], count: int, readers: int) -> None:
    """Call look_up for parts that together are all of 0 to `count`.

    Args:
        look_up: reads and writes its part only, without Python's lock.
        readers: parts at once; 1 where nothing waits for a disk.
    """
    parts = max(1, min(readers, count // LEAST))
    if parts == 1:
        look_up(slice(0, count))
        return
    bounds = [part * count // parts for part in range(parts + 1)]
    for done in [_threads().submit(look_up, slice(*bounds[part : part + 2])) for part in range(parts)]:
        done.result()


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(READERS, "tiles")
    return _pool


def _forget_pool() -> None:
    """A forked child has none of its parent's threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
