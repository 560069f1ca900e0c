"""Decide where the images of a capture are kept, say it, and keep them there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal

from softmining_nerfstudio.images.capture import Capture
from softmining_nerfstudio.images.kept import InMemory, Kept
from softmining_nerfstudio.images.memory import GB, SHARE, available
from softmining_nerfstudio.images.tiles.disk import OnDisk, Prepare


@dataclass(frozen=True)
class KeepImages:
    """Where images are while a model trains on them: in memory, a byte a channel, or as tiles on disk.

    Raises:
        ValueError: if the budget is negative or no number.
    """

    memory_gb: float | None = None
    """Memory for the images of one split and process, GB. Captures that need more are kept on disk, where a step takes
    longer if the disk is slow. 0: always on disk. By default 40 % of what is free, but several processes of one machine
    share tiles, so that images are held once."""
    folder: Path | None = None
    """Where tiles are kept. By default the user's cache folder. `softmining-bench images --clear` empties it."""

    def __post_init__(self) -> None:
        if self.memory_gb is not None and not 0 <= self.memory_gb < float("inf"):
            raise ValueError(f"memory_gb is {self.memory_gb}; expected a number of gigabytes, at least 0")

    def budget(self, processes: int = 1) -> float:
        """Bytes.

        Args:
            processes: that keep the same images on this machine.
        """
        if self.memory_gb is not None:
            return self.memory_gb * GB
        return SHARE * available() if processes == 1 else 0.0


def keep(
    capture: Capture,
    options: KeepImages,
    most: int,
    processes: int,
    console: Console,
    prepare: Prepare | None = None,
) -> Kept:
    """Choose between memory and disk, and say how many bytes go where.

    Args:
        most: images that are used at once; in memory, only these are held.
        processes: that keep the same images on this machine.
        prepare: works out what is kept of an image on disk.

    Raises:
        ImagesError: if tiles cannot be written.
    """
    needed, budget = capture.bytes_of_largest(most), options.budget(processes)
    needed *= 1 if most == len(capture) else 2  # some are read while those before are still used
    if needed <= budget:
        amount, of = decimal(needed), decimal(int(budget))
        console.print(f"Keeping {most} images in memory: {amount} of at most {of}.", highlight=False)
        return InMemory(capture, console)
    shared = f", which {processes} processes share" if processes > 1 and options.memory_gb is None else ""
    reason = shared or f", not in {decimal(int(budget))} of memory"
    return OnDisk.opened(capture, options.folder, console, prepare, reason)
