"""nerfstudio's data set of images, with errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from nerfstudio.data.datasets.base_dataset import InputDataset
from numpy.typing import NDArray
from PIL import Image


class SoftMiningDataset(InputDataset):
    """Images and masks, with errors that name the file. As a mixin before another data set, it names that one's
    files."""

    def get_data(self, image_idx: int, *arguments: Any, **options: Any) -> dict:
        """The image, its mask and whatever else the data set holds.

        Raises:
            ValueError: if a file cannot be read, or does not fit the others.
        """
        name, masks = self.image_filenames[image_idx], self._dataparser_outputs.mask_filenames
        try:
            data = super().get_data(image_idx, *arguments, **options)
        except Exception as error:  # PIL raises OSError, SyntaxError, struct.error ...
            mask = "" if masks is None else f" and a one-channel mask of its size, {masks[image_idx]}"
            raise ValueError(
                f"cannot use {name}: {str(error) or type(error).__name__}. Expected a grey, RGB or RGBA image{mask}."
            ) from error
        size = tuple(data["image"].shape[1::-1])
        first_name, first_size = self.__dict__.setdefault("_first", (name, size))
        if size != first_size and self._cameras_of_one_size():
            raise ValueError(
                f"cannot use {name}: it has {size[0]} x {size[1]} pixels, and {first_name} {first_size[0]} x "
                f"{first_size[1]}. Expected one size, as their cameras have."
            )
        return data

    def get_numpy_image(self, image_idx: int) -> NDArray[np.uint8]:
        """The image [height, width, channels], 8 bits a channel.

        Raises:
            ValueError: if it is of another kind; nerfstudio would take its numbers for colours.
        """
        with Image.open(self.image_filenames[image_idx]) as image:
            if image.mode not in ("L", "RGB", "RGBA"):
                raise ValueError(f"it has colours of the kind {image.mode} (in PIL's terms), not 8 bits a channel")
        return super().get_numpy_image(image_idx)

    def _cameras_of_one_size(self) -> bool:
        return all(len(side.unique()) == 1 for side in (self.cameras.width, self.cameras.height))


def require_frames(data: Path) -> None:
    """Check that the `transforms*.json` of a capture list frames; several of nerfstudio's parsers index the first one.

    Args:
        data: the folder of the capture, or its file.

    Raises:
        ValueError: if one of them is not JSON or lists no frames.
    """
    for path in [data] if data.suffix == ".json" and data.exists() else sorted(data.glob("transforms*.json")):
        try:
            frames = json.loads(path.read_text(encoding="utf-8")).get("frames")
        except (ValueError, AttributeError) as error:
            raise ValueError(f"cannot read {path}: {error}. Expected a JSON object with the key frames.") from error
        if frames == []:
            raise ValueError(f"{path} lists no frames; expected at least one image")
