"""Load nerfstudio 1.1.5's checkpoints: allow the number types that torch >= 2.6 refuses, and require a whole, harmless
file.

The learning-rate schedulers leave numpy scalars in a checkpoint, and `torch.load` refuses them by default (nerfstudio
issue #3683). Allowing just these number types is safe; loading arbitrary pickles (`weights_only=False`) is not.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.errors import UserError

NUMBER_TYPES = (np.float32, np.float64, np.int32, np.int64, np.bool_)


def allow_numpy_scalars() -> None:
    """Let `torch.load` rebuild numpy's scalars, in this process."""
    rebuild: Any = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # as numpy 1 and numpy 2 pickle it
    torch.serialization.add_safe_globals(
        [*((rebuild, name) for name in names), np.dtype, *(type(np.dtype(number)) for number in NUMBER_TYPES)]
    )


def step_of(path: Path) -> int | None:
    """The step in the name of a checkpoint; None if the name is none of nerfstudio's."""
    found = re.fullmatch(r"step-(\d{9,})\.ckpt", path.name)
    return int(found[1]) if found else None


def all_in(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the newest one last. Other files there do not count."""
    return sorted((path for path in folder.glob("step-*.ckpt") if step_of(path) is not None), key=step_of)  # type: ignore[arg-type]


def newest(folder: Path) -> Path | None:
    """The newest checkpoint of a folder; None if there is none."""
    return next(reversed(all_in(folder)), None)


def require_loadable(path: Path) -> None:
    """Check that a checkpoint is whole, and that it holds tensors and numbers alone. nerfstudio loads it afterwards.

    Raises:
        UserError: if it is not there, was cut off, never was a checkpoint, or holds anything else.
    """
    require_whole(path)
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # mapped: it reads no tensor
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f": {found[1]}" if found else ""
        raise UserError(f"{path} is not loaded: it holds more than tensors and numbers{what}") from error
    except Exception as error:  # a damaged archive: RuntimeError, OSError, EOFError, KeyError ...
        raise UserError(f"{path} is damaged: {str(error).splitlines()[0]}") from error


def course_in(path: Path) -> Course | None:
    """The course of the training that wrote a checkpoint; None if it does not say."""
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    course = saved["pipeline"].get("datamanager._extra_state", {}).get("course")
    return None if course is None else Course(**course)


def require_whole(path: Path) -> None:
    """Check that a checkpoint has its end, where its table of contents is.

    Raises:
        UserError: if it is not there, was cut off, or never was a checkpoint.
    """
    if zipfile.is_zipfile(path):
        return
    newest_whole = next(filter(zipfile.is_zipfile, reversed(all_in(path.parent))), None)
    if not path.exists():
        there = f"The newest one there is {newest_whole.name}." if newest_whole else "There is none in that folder."
        raise UserError(f"there is no checkpoint {path} to load. {there}")
    remedy = f"Remove it to load {newest_whole}." if newest_whole else "There is no other checkpoint beside it."
    size = path.stat().st_size
    raise UserError(f"{path} is not a whole checkpoint: it was cut off at {size} bytes, or is something else. {remedy}")
