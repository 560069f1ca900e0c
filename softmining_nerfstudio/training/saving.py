"""Write a checkpoint that is whole, and on the disk before an older one goes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from softmining_nerfstudio.training.checkpoints import all_in
from softmining_nerfstudio.training.errors import UserError


def write(folder: Path, name: str, save: Callable[[Path], None], only_latest: bool) -> None:
    """Have a checkpoint written elsewhere and moved to the others: nerfstudio would take half a file for the newest.

    Args:
        folder: of the checkpoints.
        name: of the new one.
        save: writes a file of that name into the folder that it is given.
        only_latest: remove the older ones.

    Raises:
        UserError: if the disk is full or refuses the file. No part of it stays, and the older ones do.
    """
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    try:
        with _removed_afterwards(unfinished):
            save(unfinished)
            _flush(unfinished / name)
            folder.mkdir(parents=True, exist_ok=True)
            (unfinished / name).replace(folder / name)
            _flush(folder)
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError
        raise UserError(f"cannot save {folder / name}: {error}") from error
    if only_latest:
        for path in all_in(folder):
            if path.name != name:
                path.unlink()


def copy(checkpoint: Path, into: Path) -> None:
    """Write the file of a checkpoint into a folder; with a checkpoint, `write` takes it for `save`."""
    into.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(checkpoint, into / checkpoint.name)


@contextmanager
def _removed_afterwards(folder: Path) -> Iterator[None]:
    """Remove a folder in the end. An error says if its disk was full; torch reports a wrong position in the file."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        free = shutil.disk_usage(folder if folder.exists() else _mount(folder)).free
        if free < _ALMOST_FULL:
            raise OSError(f"the disk {_mount(folder)} is full ({free / 1e6:.1f} MB free)") from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_ALMOST_FULL = 1 << 20
"""Bytes. A file system keeps a little for itself."""


def _mount(path: Path) -> Path:
    """Where the file system of a path, or of the folder to be, is mounted."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if os.path.ismount(folder))


def _flush(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
