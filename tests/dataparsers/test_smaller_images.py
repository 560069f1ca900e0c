"""Smaller images of an LLFF capture: what they show, and when they are made anew."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softmining_nerfstudio.dataparsers.llff import LLFFDataParserConfig
from softmining_nerfstudio.dataparsers.smaller_images import MARK

VIEWS, WIDTH, HEIGHT = 3, 40, 32


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Three cameras side by side, and three grey images in images/."""
    matrices = np.zeros((VIEWS, 3, 5))
    matrices[:, :, :3] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    matrices[:, 0, 3] = np.arange(VIEWS)
    matrices[:, :, 4] = [HEIGHT, WIDTH, 50.0]
    np.save(tmp_path / "poses_bounds.npy", np.hstack([matrices.reshape(VIEWS, 15), np.tile([4.0, 9.0], (VIEWS, 1))]))
    (tmp_path / "images").mkdir()
    write(tmp_path / "images", Image.new("RGB", (WIDTH, HEIGHT), (90, 90, 90)))
    return tmp_path


def write(folder: Path, image: Image.Image) -> None:
    for view in range(VIEWS):
        image.save(folder / f"view_{view}.png")


def smaller(capture: Path) -> list[Image.Image]:
    """The training images at factor 2."""
    outputs = LLFFDataParserConfig(data=capture, downscale_factor=2).setup().get_dataparser_outputs("train")
    return [Image.open(file) for file in outputs.image_filenames]


def half_transparent() -> Image.Image:
    """Grey; on the left a red that nobody shall see."""
    values = np.full((HEIGHT, WIDTH, 4), (90, 90, 90, 255), np.uint8)
    values[:, : WIDTH // 2] = (255, 0, 0, 0)
    return Image.fromarray(values)


def palette() -> Image.Image:
    """The same with a palette whose first colour, red, is transparent."""
    image = Image.fromarray((np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) % WIDTH >= WIDTH // 2).astype(np.uint8))
    image.putpalette([255, 0, 0, 90, 90, 90])
    image.info["transparency"] = 0
    return image


TRANSPARENT = {"RGBA": half_transparent, "LA": lambda: half_transparent().convert("LA"), "palette": palette}


@pytest.mark.parametrize("make", TRANSPARENT.values(), ids=TRANSPARENT.keys())
def test_transparency_stays_and_hidden_colours_do_not_bleed(capture: Path, make: Callable[[], Image.Image]) -> None:
    write(capture / "images", make())
    for image in smaller(capture):
        values = np.asarray(image)
        assert image.mode == "RGBA"
        assert (values[:, : WIDTH // 4 - 3, 3] == 0).all()
        assert (values[:, WIDTH // 4 + 3 :, 3] == 255).all()
        assert np.abs(values[values[..., 3] > 50][:, :3].astype(int) - 90).max() <= 2


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_images_without_8_bits_a_channel_are_refused(capture: Path, kind: type) -> None:
    Image.fromarray(np.full((HEIGHT, WIDTH), 1000, kind)).save(capture / "images" / "view_1.tiff")
    (capture / "images" / "view_1.tiff").rename(capture / "images" / "view_1.png")
    with pytest.raises(ValueError, match=r"view_1\.png: has colours of the kind [IF].*expected 8 bits a channel"):
        smaller(capture)
    assert not (capture / "images_2").exists()


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_other_opaque_images_keep_their_brightness(capture: Path, mode: str) -> None:
    source = Image.new("L", (WIDTH, HEIGHT), 255).convert(mode)
    for view in range(VIEWS):
        source.save(capture / "images" / f"view_{view}.png", "TIFF")
    assert all((np.asarray(image.convert("L")) == 255).all() for image in smaller(capture))


def test_images_are_made_anew_when_their_sources_change(capture: Path) -> None:
    smaller(capture)
    write(capture / "images", Image.new("RGB", (WIDTH, HEIGHT), (200, 200, 200)))
    assert all(image.getpixel((3, 3)) == (200, 200, 200) for image in smaller(capture))
    assert sorted(path.name for path in capture.iterdir()) == ["images", "images_2", "poses_bounds.npy"]


def test_images_are_made_once_while_their_sources_stay(capture: Path) -> None:
    smaller(capture)
    before = os.stat(capture / "images_2" / MARK).st_ino
    smaller(capture)
    assert os.stat(capture / "images_2" / MARK).st_ino == before


def test_made_images_outlive_their_sources(capture: Path) -> None:
    smaller(capture)
    (capture / "images").rename(capture / "originals")
    assert len(smaller(capture)) == VIEWS - 1


def test_a_folder_of_the_user_stays_and_other_names_are_told(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (capture / "images_2").mkdir()
    for name in "abc":
        Image.new("RGB", (WIDTH // 2, HEIGHT // 2)).save(capture / "images_2" / f"{name}.png")
    assert smaller(capture)[0].getpixel((3, 3)) == (0, 0, 0)
    assert "a is not the name of an image in" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["view_{}", "image{:03d}"], ids=["the sources' names", "LLFF's own numbers"])
def test_a_folder_of_the_user_with_usual_names_is_used(
    capture: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (capture / "images_2").mkdir()
    for view in range(VIEWS):
        Image.new("RGB", (WIDTH // 2, HEIGHT // 2)).save(capture / "images_2" / f"{name.format(view)}.png")
    smaller(capture)
    assert capsys.readouterr().out == ""


def test_made_images_that_the_user_changed_stay_with_a_warning(
    capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smaller(capture)
    for path in (capture / "images_2").glob("*.png"):
        Image.new("RGB", (WIDTH // 2, HEIGHT // 2), (1, 2, 3)).save(path)
    write(capture / "images", Image.new("RGB", (WIDTH, HEIGHT), (200, 200, 200)))
    assert smaller(capture)[0].getpixel((3, 3)) == (1, 2, 3)
    assert "and so has this folder" in capsys.readouterr().out


def test_a_folder_with_a_damaged_mark_stays_with_a_warning(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smaller(capture)
    (capture / "images_2" / MARK).write_text("{")
    smaller(capture)
    assert "is damaged" in capsys.readouterr().out
