"""What was worked out of an image once, kept beside its tiles: a small array for each name and image."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Notes:
    """Of the images of one folder of tiles.

    Args:
        folder: has a file for each name and image.
        shown: how the tiles become colours: the same tiles may lie on several backgrounds.
    """

    folder: Path
    shown: str

    def __call__(self, name: str, image: int, make: Callable[[], Tensor]) -> Tensor:
        """What is kept under a name of an image; if it is nothing yet, what `make` works out."""
        path = self.folder / f"{image}.{name}-{self.shown}.note"
        try:
            return torch.from_numpy(np.load(path, allow_pickle=False))
        except (OSError, ValueError, EOFError):
            made = make()
        beside = path.with_suffix(f".{os.getpid()}")
        try:
            with beside.open("wb") as file:
                np.save(file, made.numpy(), allow_pickle=False)
            beside.replace(path)
        except OSError:  # the disk is full: it is worked out again next time
            beside.unlink(missing_ok=True)
        return made

    def forget(self, images: list[int]) -> None:
        """Delete what is kept of some images."""
        gone = {str(image) for image in images}
        for path in self.folder.glob("*.note"):
            if path.name.partition(".")[0] in gone:
                path.unlink()
