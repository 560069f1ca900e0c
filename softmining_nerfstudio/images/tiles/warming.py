"""Have the system hold tiles in its file cache, if they fit: reading a file in sequence is a hundred times as fast as
page by page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from softmining_nerfstudio.images.memory import available

AT_ONCE = 1 << 23
"""Bytes."""
SHARE = 0.5
"""Of the available memory, which files may take. Those that need more are left to be read where they are looked up."""


def fits(count: int) -> bool:
    """Whether the system's file cache can hold as many bytes."""
    return count <= SHARE * available()


def warm(paths: Sequence[Path]) -> Thread:
    """Read files once, in a thread that nobody waits for."""
    thread = Thread(target=read_through, args=(paths,), name="warm tiles", daemon=True)
    thread.start()
    return thread


def read_through(paths: Sequence[Path]) -> int:
    """Read files to their end, unless they are too large together.

    Returns:
        Bytes that were read.
    """
    buffer, total = bytearray(AT_ONCE), 0
    try:
        if not fits(sum(path.stat().st_size for path in paths)):
            return 0
        for path in paths:
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    total += count
    except OSError:  # somebody cleared them
        pass
    return total
