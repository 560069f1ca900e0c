"""A scene in COLMAP's text format."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_colmap_scene(folder: Path, images: int = 4) -> Path:
    """Small grey images from positions along a line, without points."""
    (folder / "images").mkdir(parents=True)
    (folder / "sparse").mkdir()
    (folder / "sparse" / "cameras.txt").write_text("1 PINHOLE 32 24 30 30 16 12\n")
    poses = [f"{n} 1 0 0 0 {n / 10} 0 1 1 {n}.png\n\n" for n in range(1, images + 1)]
    (folder / "sparse" / "images.txt").write_text("".join(poses))
    (folder / "sparse" / "points3D.txt").write_text("1 0 0 3 9 9 9 0.5 1 0\n")
    for number in range(1, images + 1):
        Image.fromarray(np.full((24, 32, 3), 100 + number, np.uint8)).save(folder / "images" / f"{number}.png")
    return folder
