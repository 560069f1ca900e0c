"""Fill the files of tiles."""

from __future__ import annotations

import os
import shutil
import threading
import time
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from softmining_nerfstudio.images.capture import Capture, Stamp
from softmining_nerfstudio.images.tiles.records import Records, Sums

PROBES = 3
"""Places of an image's bytes that its sum is over: a whole sum would mean to read all of them at every start."""
PROBE = 256
"""Bytes at each place."""
RECORDED_EVERY = 1.0
"""Seconds of work that are lost at most when a process is killed."""


class TileFiles:
    """The open files of a capture's tiles, for several threads."""

    def __init__(self, folder: Path, capture: Capture) -> None:
        self._capture, self._folder = capture, folder
        self._files: dict[str, BinaryIO] = {}
        self._locks = {name: threading.Lock() for name in capture.layers}

    @staticmethod
    def paths(folder: Path, capture: Capture) -> dict[str, Path]:
        """The file of each layer."""
        return {name: folder / f"{name}.tiles" for name in capture.layers}

    @staticmethod
    def whole(folder: Path, capture: Capture) -> bool:
        """Whether all files have the size that they have in the end."""
        paths = TileFiles.paths(folder, capture)
        sizes = {name: capture.pixels * layer.bytes for name, layer in capture.layers.items()}
        return all(path.exists() and path.stat().st_size == sizes[name] for name, path in paths.items())

    @staticmethod
    def set_apart(folder: Path, capture: Capture) -> None:
        """Go on with copies of the files. A training that has the old ones open keeps them as they are."""
        for path in TileFiles.paths(folder, capture).values():
            copy = path.with_suffix(".copy")
            shutil.copyfile(path, copy)
            copy.replace(path)

    def __enter__(self) -> TileFiles:
        for name, path in self.paths(self._folder, self._capture).items():
            path.touch()
            self._files[name] = path.open("r+b")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in self._files.values():
            file.close()

    def allocated(self) -> int:
        """Bytes that the files have of the disk."""
        return sum(getattr(os.fstat(file.fileno()), "st_blocks", 0) * 512 for file in self._files.values())

    def allocate(self) -> None:
        """Take all bytes from the disk now, so that there is no lack of them later."""
        for name, file in self._files.items():
            count = self._capture.pixels * self._capture.layers[name].bytes
            file.truncate(count)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, count)

    def put(self, name: str, first: int, pixels: np.ndarray) -> None:
        """Write pixels of a layer."""
        with self._locks[name]:
            self._files[name].seek(first * self._capture.layers[name].bytes)
            self._files[name].write(np.ascontiguousarray(pixels).data)

    def sums(self, image: int) -> Sums:
        """Sums over some bytes of an image."""
        first, pixels = int(self._capture.first[image]), int(self._capture.sizes[image].prod())
        bytes_of = {name: layer.bytes for name, layer in self._capture.layers.items()}
        return {name: self._sum(name, first * each, pixels * each) for name, each in bytes_of.items()}

    def _sum(self, name: str, start: int, count: int) -> int:
        total = 0
        with self._locks[name]:
            for probe in range(PROBES):
                self._files[name].seek(start + probe * max(0, count - PROBE) // (PROBES - 1))
                total = zlib.crc32(self._files[name].read(min(PROBE, count)), total)
        return total

    def flush(self) -> None:
        """Let everybody see what was written."""
        for name, file in self._files.items():
            with self._locks[name]:
                file.flush()

    def settle(self) -> None:
        """Wait until all that was written is on the disk."""
        self.flush()
        for file in self._files.values():
            os.fsync(file.fileno())


class Recorder:
    """Records complete images, every second, once their pixels are on the disk."""

    def __init__(self, files: TileFiles, records: Records) -> None:
        self._files, self._records = files, records
        self._complete: list[tuple[int, Stamp, Sums]] = []
        self._lock, self._last = threading.Lock(), time.monotonic()

    def done(self, image: int, stamp: Stamp) -> None:
        """Take note of a complete image."""
        sums = self._files.sums(image)
        with self._lock:
            self._complete.append((image, stamp, sums))
            if time.monotonic() - self._last > RECORDED_EVERY:
                self._record()

    def finish(self) -> None:
        """Record what is left."""
        with self._lock:
            self._record()

    def _record(self) -> None:
        self._files.settle()
        self._records.add(self._complete)
        self._complete, self._last = [], time.monotonic()
