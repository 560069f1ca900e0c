"""nerfstudio's images, which say what they are called when they cannot be used."""

from __future__ import annotations

from typing import Any

from nerfstudio.data.datasets.base_dataset import InputDataset


class SoftMiningDataset(InputDataset):
    """Images and masks; errors name the file. For more, `class _(SoftMiningDataset, DepthDataset)`."""

    def get_data(self, image_idx: int, *arguments: Any, **options: Any) -> dict:
        """What the dataset holds of one image.

        Raises:
            ValueError: if a file of it cannot be read or does not fit the others.
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

    def _cameras_of_one_size(self) -> bool:
        return all(len(side.unique()) == 1 for side in (self.cameras.width, self.cameras.height))
