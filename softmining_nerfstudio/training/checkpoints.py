"""Load nerfstudio 1.1.5's checkpoints: allow the number types that torch >= 2.6 refuses, and require a whole file.

The learning-rate schedulers leave numpy scalars in a checkpoint, and `torch.load` refuses them by default (nerfstudio
issue #3683). Allowing just these number types is safe; loading arbitrary pickles (`weights_only=False`) is not.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

NUMBER_TYPES = (np.float32, np.float64, np.int32, np.int64, np.bool_)


def allow_numpy_scalars() -> None:
    """Let `torch.load` rebuild numpy's scalars, in this process."""
    rebuild: Any = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # as numpy 1 and numpy 2 pickle it
    torch.serialization.add_safe_globals(
        [*((rebuild, name) for name in names), np.dtype, *(type(np.dtype(number)) for number in NUMBER_TYPES)]
    )


def newest(folder: Path) -> Path | None:
    """The checkpoint that nerfstudio would load from a folder; None if there is none."""
    return max(folder.glob("step-*.ckpt"), default=None)


def require_whole(path: Path) -> None:
    """Check that a checkpoint has its end, where its table of contents is.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it was cut off or never was a checkpoint.
    """
    if zipfile.is_zipfile(path):
        return
    newest_whole = max(filter(zipfile.is_zipfile, path.parent.glob("step-*.ckpt")), default=None)
    if not path.exists():
        there = f"The newest one there is {newest_whole.name}." if newest_whole else "There is none in that folder."
        raise FileNotFoundError(f"there is no checkpoint {path} to load. {there}")
    remedy = f"Remove it to load {newest_whole}." if newest_whole else "There is no other checkpoint beside it."
    size = path.stat().st_size
    raise ValueError(
        f"{path} is not a whole checkpoint: it was cut off at {size} bytes, or is something else. {remedy}"
    )
