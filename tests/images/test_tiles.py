"""Tiles on disk: what memory would have, read once, and redone only where files have changed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from made_images import QUIET, capture_of, images_of
from rich.console import Console

from softmining_nerfstudio.images.capture import Capture, ImagesError
from softmining_nerfstudio.images.keeping import KeepImages, keep
from softmining_nerfstudio.images.kept import InMemory
from softmining_nerfstudio.images.tiles import folders
from softmining_nerfstudio.images.tiles.disk import OnDisk
from softmining_nerfstudio.images.tiles.folders import clear, folder_of

SIZES = [(60, 80), (41, 17), (3, 5), (1, 1), (64, 96), (32, 32)]


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    """Images of mixed sizes with masks; their files hold nothing that is read."""
    files = [tmp_path / f"{image}.png" for image in range(len(SIZES))]
    for file in files:
        file.write_text("image")
    return capture_of(images_of(SIZES), files)


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    return tmp_path / "tiles"


class Counted:
    """A capture that notes which images are read."""

    def __init__(self, capture: Capture) -> None:
        self.images: list[int] = []
        self.capture = replace(capture, read=self.read)
        self._read = capture.read

    def read(self, image: int) -> dict:
        self.images.append(image)
        return dict(self._read(image))


def opened(capture: Capture, parent: Path) -> list[int]:
    """The images that are read when tiles are opened, which then hold what memory would."""
    counted = Counted(capture)
    tiles = OnDisk.opened(counted.capture, parent, QUIET).of(range(len(capture)))
    expected = InMemory(capture, QUIET).of(range(len(capture)))
    for name in expected:
        assert tiles[name].values.dtype == expected[name].values.dtype
        for slot in range(len(capture)):
            assert torch.equal(tiles[name].whole(slot), expected[name].whole(slot))
    return sorted(counted.images)


def test_tiles_hold_what_memory_would_and_are_read_once(capture: Capture, parent: Path) -> None:
    assert opened(capture, parent) == [0, 1, 2, 3, 4, 5]
    assert opened(capture, parent) == []


def test_only_changed_files_are_read_again(capture: Capture, parent: Path) -> None:
    opened(capture, parent)
    os.utime(capture.files[1][0], (1, 1))
    capture.files[4][0].write_text("another image")
    assert opened(capture, parent) == [1, 4]
    assert opened(capture, parent) == []


def test_a_training_keeps_the_tiles_that_it_has_open(capture: Capture, parent: Path) -> None:
    """Another one may meanwhile find that a file has changed."""
    tiles = OnDisk.opened(capture, parent, QUIET).of(range(len(capture)))["image"]
    before = [tiles.whole(slot) for slot in range(len(capture))]
    capture.files[4][0].write_text("another image")
    images = images_of(SIZES)
    images[4] = 255 - images[4]
    assert opened(capture_of(images, [path for (path,) in capture.files]), parent) == [4]
    assert all(torch.equal(tiles.whole(slot), was) for slot, was in enumerate(before))


def test_what_a_killed_process_had_taken_of_the_disk_is_cleared(
    capture: Capture, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(ImagesError, match="No space left"):
            OnDisk.opened(capture, parent, QUIET)
    assert clear(parent) > 0
    assert not [path for path in parent.iterdir() if path.is_dir()]


def test_other_settings_or_files_have_tiles_of_their_own(capture: Capture, parent: Path) -> None:
    opened(capture, parent)
    assert opened(replace(capture, settings="others"), parent) == [0, 1, 2, 3, 4, 5]
    assert opened(capture.of([0, 1]), parent) == [0, 1]
    assert opened(capture, parent) == []


def test_a_capture_of_other_sizes_is_written_anew(capture: Capture, parent: Path) -> None:
    opened(capture, parent)
    assert opened(capture_of(images_of(SIZES[::-1]), [path for (path,) in capture.files]), parent) == [0, 1, 2, 3, 4, 5]


def cut(folder: Path) -> None:
    with (folder / "image.tiles").open("r+b") as file:
        file.truncate(1000)


def overwrite(folder: Path) -> None:
    (folder / "image.tiles").write_bytes(bytes((folder / "image.tiles").stat().st_size))


def garble(folder: Path) -> None:
    records = folder / "records.jsonl"
    records.write_text(records.read_text().replace('"sums"', '"sum', 2))


DAMAGES = {
    "cut": cut,
    "overwritten": overwrite,
    "without a layer": lambda folder: (folder / "mask.tiles").unlink(),
    "with garbled records": garble,
    "with records of nothing": lambda folder: (folder / "records.jsonl").write_bytes(b"\0" * 99),
    "without records": lambda folder: (folder / "records.jsonl").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_tiles_are_found_and_written_anew(capture: Capture, parent: Path, damage) -> None:
    opened(capture, parent)
    damage(folder_of(capture, parent))
    assert opened(capture, parent) == [0, 1, 2, 3, 4, 5]
    assert opened(capture, parent) == []


def test_an_image_that_cannot_be_read_loses_no_other(capture: Capture, parent: Path) -> None:
    def read(image: int) -> dict:
        if image == 5:
            time.sleep(0.1)
            raise OSError("truncated")
        return dict(capture.read(image))

    with pytest.raises(ImagesError, match="truncated"):
        OnDisk.opened(replace(capture, read=read), parent, QUIET)
    assert opened(capture, parent) == [5]


KILLED = """
import sys, time
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from made_images import QUIET, capture_of, images_of
from softmining_nerfstudio.images.tiles import writing
from softmining_nerfstudio.images.tiles.disk import OnDisk
writing.RECORDED_EVERY = 0
files = sorted(Path(sys.argv[2]).glob("*.png"))
capture = capture_of(images_of([(60, 80), (41, 17), (3, 5), (1, 1), (64, 96), (32, 32)]), files)
def read(image):
    rows = dict(capture.read(image))
    if image == 4:
        print("half", flush=True)
        rows["mask"] = lambda first, last: time.sleep(100)
    return rows
OnDisk.opened(replace(capture, read=read), Path(sys.argv[3]), QUIET)
"""


def test_a_killed_process_leaves_nothing_half_and_the_next_goes_on(capture: Capture, parent: Path) -> None:
    folder = capture.files[0][0].parent
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, Path(__file__).parent, folder, parent], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "half\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert opened(capture, parent) == [4, 5]


def test_two_trainings_share_the_tiles(capture: Capture, parent: Path) -> None:
    reads, said = [], StringIO()
    going = threading.Event()

    def read(image: int) -> dict:
        reads.append(image)
        going.set()
        time.sleep(0.1)
        return dict(capture.read(image))

    slow = replace(capture, read=read)
    first = threading.Thread(target=OnDisk.opened, args=(slow, parent, QUIET))
    first.start()
    going.wait()
    OnDisk.opened(slow, parent, Console(file=said, width=200))
    first.join()
    assert sorted(reads) == [0, 1, 2, 3, 4, 5]
    assert "waiting until it is done" in said.getvalue()


def test_a_disk_without_room_is_found_before_anything_is_written(
    capture: Capture, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")(1, 1, 1000)
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(ImagesError, match=r"GB more, and 1e-06 GB are free.*images.folder"):
        OnDisk.opened(capture, parent, QUIET)
    assert sum(path.stat().st_size for path in folder_of(capture, parent).iterdir()) == 0


def test_a_folder_that_cannot_be_written_to_is_named(capture: Capture, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImagesError, match=r"cannot keep tiles in .*images.folder"):
        OnDisk.opened(capture, tmp_path / "file", QUIET)


def test_clearing_frees_the_disk_and_leaves_open_tiles_readable(capture: Capture, parent: Path) -> None:
    tiles = OnDisk.opened(capture, parent, QUIET).of([0])["image"]
    (parent / "a photograph.png").write_text("not ours")
    before = tiles.whole(0)
    assert clear(parent) > capture.bytes
    assert torch.equal(tiles.whole(0), before)
    assert [path.name for path in parent.iterdir()] == ["a photograph.png"]
    assert opened(capture, parent) == [0, 1, 2, 3, 4, 5]


def test_a_budget_decides_and_both_ends_are_said(capture: Capture, parent: Path) -> None:
    said = StringIO()
    console = Console(file=said, width=300)
    for gigabytes, kind in ((None, InMemory), (1.0, InMemory), (0.0, OnDisk), (capture.bytes / 2.1e9, OnDisk)):
        assert isinstance(keep(capture, KeepImages(gigabytes, parent), len(capture), 1, console), kind)
    for gigabytes, kind in ((capture.bytes / 1e9, InMemory), (capture.bytes / 1.9e9, OnDisk)):  # the largest, twice
        assert isinstance(keep(capture, KeepImages(gigabytes, parent), 1, 1, console), kind)
    lines = said.getvalue().splitlines()
    assert lines[0].startswith(f"Keeping 6 images in memory: {capture.bytes / 1000:.1f} kB of at most")
    assert f"of tiles in {folder_of(capture, parent)}; 6 of them are read now." in said.getvalue()
    assert "; all are there." in said.getvalue()


def test_what_is_worked_out_of_an_image_is_kept_until_its_files_change(capture: Capture, parent: Path) -> None:
    made: list[int] = []

    def look(layers: dict, image: int) -> torch.Tensor:
        def make() -> torch.Tensor:
            made.append(image)
            return layers["image"].whole(image).mean(-1)

        return layers["image"].notes("grey", image, make)

    OnDisk.opened(capture, parent, QUIET, look)
    assert sorted(made) == [0, 1, 2, 3, 4, 5]
    made.clear()
    layers = OnDisk.opened(capture, parent, QUIET, look).pixels
    assert torch.equal(look(layers, 4), layers["image"].whole(4).mean(-1))
    assert made == []
    os.utime(capture.files[2][0], (1, 1))
    OnDisk.opened(capture, parent, QUIET, look)
    assert made == [2]


def test_what_depends_on_the_background_is_kept_for_each(capture: Capture, parent: Path) -> None:
    images, files, found = images_of(SIZES, 4), [path for (path,) in capture.files], []
    for background in (None, torch.ones(3), torch.zeros(3), None):
        layers = OnDisk.opened(capture_of(images, files, background), parent, QUIET).pixels["image"]
        assert layers.notes is not None
        found.append(layers.notes("sum", 0, lambda: layers.whole(0).sum()))  # noqa: B023
    assert len({float(total) for total in found}) == 3
    assert found[0] == found[3]


def test_a_damaged_note_is_made_again(capture: Capture, parent: Path) -> None:
    notes = OnDisk.opened(capture, parent, QUIET).pixels["image"].notes
    assert notes is not None
    notes("one", 0, lambda: torch.ones(3))
    (path,) = folder_of(capture, parent).glob("*.note")
    path.write_bytes(path.read_bytes()[:-4])
    assert notes("one", 0, lambda: torch.zeros(3)).tolist() == [0, 0, 0]
