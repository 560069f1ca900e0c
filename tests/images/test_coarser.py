"""A capture that the file cache cannot hold has smaller images beside its tiles."""

from io import StringIO
from pathlib import Path

import pytest
import torch
from made_images import QUIET, capture_of, images_of
from rich.console import Console

from softmining_nerfstudio.images.tiles import disk
from softmining_nerfstudio.images.tiles.coarser import FACTOR
from softmining_nerfstudio.images.tiles.disk import OnDisk

SIZES = [(128, 256), (203, 130), (301, 150)]


def opened(images: list, parent: Path, masked: bool = False, console: Console = QUIET) -> OnDisk:
    """Tiles that somebody will look edges up in."""
    return OnDisk.opened(capture_of(images, masked=masked), parent, console, prepare=lambda *_: None)


@pytest.fixture
def too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file cache holds anything."""
    monkeypatch.setattr(disk, "fits", lambda _: False)


@pytest.mark.usefixtures("too_large")
def test_a_coarser_pixel_is_the_mean_of_a_block(tmp_path: Path) -> None:
    images = images_of(SIZES)
    coarser = opened(images, tmp_path).of([2, 0])["image"].coarser
    assert coarser is not None
    assert coarser.sizes.tolist() == [[75, 37], [32, 64]]
    blocks = images[0].float().view(32, FACTOR, 64, FACTOR, 3).mean((1, 3)) / 255
    torch.testing.assert_close(coarser.whole(1), blocks, atol=1.1 / 255, rtol=0)
    # of a size that is no multiple the blocks overlap by a row or column
    assert float((coarser.whole(0).mean() - images[2].float().mean() / 255).abs()) < 0.005
    spread = float(coarser.whole(0).std() / images[2].float().std() * 255)
    assert 1 / (FACTOR + 2) < spread < 1 / (FACTOR - 1)


@pytest.mark.usefixtures("too_large")
def test_they_are_written_once_and_said(tmp_path: Path) -> None:
    for written in (True, False):
        said = StringIO()
        opened(images_of(SIZES), tmp_path, console=Console(file=said, width=400))
        assert f"{FACTOR} times smaller" in said.getvalue()
        assert ("are read now" in said.getvalue()) == written


@pytest.mark.usefixtures("too_large")
@pytest.mark.parametrize(("sizes", "channels"), [(SIZES, 4), ([*SIZES, (127, 500)], 3)])
def test_there_are_none_of_rgba_or_of_small_images(sizes: list, channels: int, tmp_path: Path) -> None:
    assert opened(images_of(sizes, channels), tmp_path).pixels["image"].coarser is None


@pytest.mark.usefixtures("too_large")
def test_there_are_none_beside_masks_or_where_only_uniform_rays_are_drawn(tmp_path: Path) -> None:
    assert opened(images_of(SIZES), tmp_path, masked=True).pixels["image"].coarser is None
    kept = OnDisk.opened(capture_of(images_of(SIZES), masked=False), tmp_path, QUIET)
    assert kept.pixels["image"].coarser is None


def test_there_are_none_where_the_tiles_fit(tmp_path: Path) -> None:
    assert opened(images_of(SIZES), tmp_path).pixels["image"].coarser is None
