"""The LLFF layout on disk: `poses_bounds.npy`, and the images that belong to it.

Reads and checks the images. `llff.py` explains the numbers, `smaller_images.py` makes a missing folder.
"""

from __future__ import annotations

import math
import re
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from PIL import Image
from torch import Tensor

from softmining_nerfstudio.dataparsers.smaller_images import IMAGE_SUFFIXES, images_in, is_outdated, write_smaller

POSES_FILE = "poses_bounds.npy"
MAX_AUTO_SIDE = 1600


@dataclass(frozen=True)
class Views:
    """The contents of `poses_bounds.npy` for n images, in the file's own world frame and units."""

    poses: Float[Tensor, "n 3 4"]
    """Camera to world, axes right, up, backwards."""
    size: Float[Tensor, "n 2"]
    """Width and height of the full-resolution image, pixels."""
    focal: Float[Tensor, " n"]
    """Focal length at full resolution, pixels."""
    bounds: Float[Tensor, "n 2"]
    """Closest and farthest depth along the optical axis."""


def read_views(path: Path) -> Views:
    """Read and check `poses_bounds.npy`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no numpy file with at least two rows of 17 finite numbers, or a row has no rotation, no
            positive size and focal length, or not 0 < closest < farthest depth.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Expected the folder of a capture in the LLFF layout.")
    try:
        rows = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read as a numpy array ({error}), expected [n, 17] numbers.") from error
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "fiu" or rows.ndim != 2 or rows.shape[1] != 17:
        found = f"{rows.dtype} of shape {list(rows.shape)}" if isinstance(rows, np.ndarray) else "an archive"
        raise ValueError(f"{path}: found {found}, expected numbers of shape [n, 17], one row for each image.")
    if len(rows) < 2:
        raise ValueError(f"{path}: found {len(rows)} rows, expected at least 2, to train on and to evaluate.")

    rows = torch.from_numpy(rows.astype(np.float64))
    down, right, back, position, intrinsics = rows[:, :15].reshape(-1, 3, 5).unbind(dim=2)
    rotation = torch.stack([right, -down, back], dim=2)
    near, far = rows[:, 15], rows[:, 16]
    skew = (rotation.mT @ rotation - torch.eye(3)).abs().amax(dim=(1, 2))
    faults = [
        (~rows.isfinite().all(dim=1), "a number that is not finite", "finite numbers"),
        ((skew > 1e-3) | (torch.linalg.det(rotation.nan_to_num()) < 0), "a 3x3 part that is no rotation", "a rotation"),
        ((intrinsics <= 0).any(dim=1), "a height, width or focal length <= 0", "positive pixels"),
        ((near <= 0) | (near >= far), "depth bounds that are no range", "0 < closest < farthest"),
    ]
    for is_bad, found, expected in faults:
        if is_bad.any():
            row = int(is_bad.nonzero()[0])
            raise ValueError(f"{path}: row {row} has {found}, expected {expected}: {rows[row].tolist()}")
    poses = torch.cat([rotation, position[:, :, None]], dim=2)
    return Views(poses, size=intrinsics[:, [1, 0]], focal=intrinsics[:, 2], bounds=rows[:, 15:])


def image_folder(data: Path, requested: int | None, views: Views) -> Path:
    """The folder of images to use. A missing one is made from `images/`; one that was made is kept up to date.

    Raises:
        FileNotFoundError: there are no images, or no `images/` for the requested folder.
    """
    full = data / "images"
    exponent = math.ceil(math.log2(max(1.0, _longer_side(full, views) / MAX_AUTO_SIDE)))
    factor = requested or 2**exponent
    folder = full if factor == 1 else data / f"images_{factor}"
    if full.is_dir() and folder != full and (not folder.is_dir() or is_outdated(folder, full)):
        files, (width, height) = image_files(full, views)
        write_smaller(files, folder, (max(1, round(width / factor)), max(1, round(height / factor))))
    if folder.is_dir():
        return folder
    others = {int(f.name[7:]): f for f in data.iterdir() if re.fullmatch(r"images_[1-9]\d*", f.name) and f.is_dir()}
    if not others:
        raise FileNotFoundError(f"{data}: found no folder of images, expected images/ or images_N/ in it.")
    if requested is not None:
        found = ", ".join(f"{other.name} (--downscale-factor {n})" for n, other in sorted(others.items()))
        raise FileNotFoundError(f"{folder}: no such folder, and no images/ to make it from. Found {found}.")
    nearest = others[min(others, key=lambda n: abs(math.log(n / factor)))]
    CONSOLE.log(f"[yellow]{folder.name} is missing in {data}, and images/ to make it from: using {nearest.name}.")
    return nearest


def _longer_side(full: Path, views: Views) -> float:
    """Of the full images, pixels: of the first one, or what `poses_bounds.npy` has of them where there is none."""
    files = images_in(full) if full.is_dir() else []
    with suppress(OSError, IndexError), Image.open(files[0]) as image:
        return max(image.size)
    return views.size.max().item()


def image_files(folder: Path, views: Views) -> tuple[list[Path], tuple[int, int]]:
    """The images in sorted order, and their common width and height in pixels. Reads only their headers.

    Raises:
        ValueError: their number or a size does not fit `poses_bounds.npy`, or a file is no image.
    """
    files = images_in(folder)
    if len(files) != len(views.poses):
        raise ValueError(
            f"{folder}: found {len(files)} images ({', '.join(IMAGE_SUFFIXES)}), "
            f"expected {len(views.poses)}, one for each row of {POSES_FILE}."
        )
    sizes = []
    for file in files:
        try:
            with Image.open(file) as image:
                sizes.append(image.size)
        except OSError as error:
            raise ValueError(f"{file}: cannot be read as an image ({error}).") from error
    width, height = sizes[0]
    for file, size, full in zip(files, sizes, views.size.tolist(), strict=True):
        if size != (width, height):
            raise ValueError(
                f"{file}: found {size[0]}x{size[1]} pixels, expected {width}x{height} like {files[0].name}."
            )
        if abs(full[1] * width - full[0] * height) > full[0] + full[1]:  # either side may be rounded
            raise ValueError(
                f"{file}: found {width}x{height} pixels, expected the aspect ratio of "
                f"{full[0]:g}x{full[1]:g} in {POSES_FILE}."
            )
    return files, (width, height)
