"""Read all images of a capture, as many at once as there are cores, and say how far that is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from softmining_nerfstudio.images.capture import Capture, ImagesError, Stamp
from softmining_nerfstudio.images.memory import SHARE, available
from softmining_nerfstudio.images.order import SIDE, in_squares

Put = Callable[[str, int, np.ndarray], object]
"""Takes values of a layer: its name, the number of the first pixel in the list of all, and pixels in tile order."""
Done = Callable[[int, Stamp], object]
"""Hears that an image is complete, and what its files were like."""

IMAGES_A_THREAD = 6
"""A reading thread for at least so many images. Each holds a decoded image, four thirds of its bytes as RGB, so the
threads together hold less than a quarter of all. Where all do not fit into memory, as many threads as have room
there."""


def fill(capture: Capture, images: Sequence[int], put: Put, done: Done, console: Console, saying: str) -> None:
    """Read images and hand their values on, in any order.

    Args:
        put, done: called by several threads at once.
        saying: what the progress bar begins with.

    Raises:
        ImagesError: if the files of an image change while they are read.
        Exception: what reading raised, or handing on. Nothing further is then read.
    """
    decoded = max(1, capture.bytes_of_largest(1) * 4 // 3)
    threads = max(1, min(_cores(), len(images) // IMAGES_A_THREAD, int(SHARE * available()) // decoded))
    bytes_of = [int(size) for size in capture.sizes.prod(-1) * sum(layer.bytes for layer in capture.layers.values())]
    with _progress(console) as progress, ThreadPoolExecutor(threads, "images") as pool:
        read = progress.add_task(saying, total=sum(bytes_of[image] for image in images), images=len(images), done=0)
        futures: dict[Future[None], int] = {pool.submit(_read, capture, image, put, done): image for image in images}
        try:
            for number, future in enumerate(as_completed(futures), 1):
                future.result()
                progress.update(read, advance=bytes_of[futures[future]], done=number)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(capture: Capture, image: int, put: Put, done: Done) -> None:
    """Read one image, by bands of squares."""
    stamp = capture.stamp(image)
    rows = capture.read(image)
    (height, width), first = capture.sizes[image].tolist(), int(capture.first[image])
    for name in capture.layers:
        for top in range(0, height, SIDE):
            put(name, first + top * width, in_squares(rows[name](top, min(top + SIDE, height))))
    if capture.stamp(image) != stamp:
        raise ImagesError(f"{capture.files[image][0]} changed while it was read; start again when it is complete")
    done(image, stamp)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]} of {task.fields[images]} images"),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
