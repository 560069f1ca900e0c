"""Look pixels up by many threads at once: each waits for a page of the disk, and a disk serves many at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

READERS = 16
"""Threads. Random pages then come about five times as fast as to one thread."""
LEAST = 32
"""Smallest share of the lookups that is worth a thread."""


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
    threads = _threads(os.getpid())
    for done in [threads.submit(look_up, slice(*bounds[part : part + 2])) for part in range(parts)]:
        done.result()


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """The threads of a process; a forked one has none of its parent's."""
    del process
    return ThreadPoolExecutor(READERS, "tiles")
