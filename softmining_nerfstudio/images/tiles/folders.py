"""Where tiles lie: a folder for every list of images, in the user's cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from rich.console import Console

from softmining_nerfstudio.images.capture import Capture, ImagesError

ELSEWHERE = "--pipeline.datamanager.images.folder DIR keeps tiles in another folder."


def default_folder() -> Path:
    """In the user's cache."""
    return platformdirs.user_cache_path("softmining_nerfstudio") / "images"


def folder_of(capture: Capture, parent: Path) -> Path:
    """The folder of a capture's tiles: the same for the same files and settings."""
    files = [[str(path.absolute()) for path in paths] for paths in capture.files]
    name = hashlib.sha256(json.dumps([capture.settings, files]).encode()).hexdigest()
    return parent / name[:20]


@contextmanager
def alone_in(folder: Path, console: Console) -> Iterator[None]:
    """Within this context, no other process writes there. It waits, and says so, while one does.

    Raises:
        ImagesError: if the folder cannot be made.
    """
    from filelock import FileLock, Timeout  # not when nerfstudio looks what plugins there are

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            console.print(f"Another process writes to {folder}: waiting until it is done.", soft_wrap=True)
            lock.acquire()
    except OSError as error:
        raise ImagesError(f"cannot keep tiles in {folder}: {error.strerror or error}. {ELSEWHERE}") from error
    try:
        yield
    finally:
        lock.release()


def require_room(folder: Path, needed: int) -> None:
    """Check that a disk has as many bytes left.

    Raises:
        ImagesError: if it has not.
    """
    if needed > (free := shutil.disk_usage(folder).free):
        raise ImagesError(
            f"tiles in {folder} need {needed / 1e9:.3g} GB more, and {free / 1e9:.3g} GB are free. {ELSEWHERE} "
            "`softmining-bench images --clear` deletes the tiles of earlier trainings."
        )


def clear(parent: Path) -> int:
    """Delete all tiles that nobody is writing. A training that has them open can still read them.

    Returns:
        Bytes that were freed.
    """
    from filelock import FileLock, Timeout

    freed = 0
    for folder in sorted(parent.glob("*/records.jsonl")):
        lock = FileLock(folder.parent.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        freed += sum(file.stat().st_size for file in folder.parent.iterdir())
        shutil.rmtree(folder.parent)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
    return freed
