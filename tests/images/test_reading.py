"""Rows of image files are those that nerfstudio reads."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softmining_nerfstudio.images.capture import ImagesError
from softmining_nerfstudio.images.reading import rows_of_file

COLOURS = np.random.default_rng(0).integers(0, 256, (50, 70, 4), np.uint8)


def saved(folder: Path, mode: str) -> Path:
    path = folder / f"{mode}.png"
    Image.fromarray(COLOURS).convert(mode).save(path)
    return path


def rows(path: Path, channels: int, scale: float = 1.0) -> np.ndarray:
    size = (int(70 * scale), int(50 * scale))
    read = rows_of_file(path, size, scale, channels)
    return np.concatenate([read(0, 7), read(7, size[1])])


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("RGBA", 4)])
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3])
def test_colours_are_those_of_the_file(mode: str, channels: int, scale: float, tmp_path: Path) -> None:
    path = saved(tmp_path, mode)
    with Image.open(path) as image:
        size = (int(70 * scale), int(50 * scale))
        expected = np.array(image if scale == 1 else image.resize(size, Image.Resampling.BILINEAR))
    assert np.array_equal(rows(path, channels, scale), expected)


def test_grey_becomes_three_equal_colours(tmp_path: Path) -> None:
    path = saved(tmp_path, "L")
    found = rows(path, 3)
    assert np.array_equal(found, np.array(Image.open(path))[..., None].repeat(3, -1))


def test_images_without_alpha_are_opaque_among_others_with_it(tmp_path: Path) -> None:
    found = rows(saved(tmp_path, "RGB"), 4)
    assert np.array_equal(found[..., :3], COLOURS[..., :3])
    assert (found[..., 3] == 255).all()


@pytest.mark.parametrize(
    ("mode", "size", "channels"), [("RGB", (70, 49), 3), ("RGBA", (70, 50), 3), ("I;16", (70, 50), 3)]
)
def test_an_image_that_is_no_longer_as_its_header_said_is_refused(
    mode: str, size: tuple[int, int], channels: int, tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    Image.new(mode, (70, 50)).save(path)
    with pytest.raises(ImagesError, match=r"image\.png changed"):
        rows_of_file(path, size, 1.0, channels)
