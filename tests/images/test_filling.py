"""All images are read, once, and what goes wrong stops it."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from made_images import QUIET, capture_of, images_of

from softmining_nerfstudio.images import filling
from softmining_nerfstudio.images.capture import Capture, ImagesError
from softmining_nerfstudio.images.filling import fill
from softmining_nerfstudio.images.kept import InMemory


def filled(capture: Capture) -> list[int]:
    done: list[int] = []
    fill(capture, range(len(capture)), lambda *_: None, lambda image, stamp: done.append(image), QUIET, "")
    return sorted(done)


def test_every_image_is_done_once() -> None:
    assert filled(capture_of(images_of([(4, 5)] * 40))) == list(range(40))


def test_the_first_error_ends_it() -> None:
    capture, read = capture_of(images_of([(4, 5)] * 40)), []

    def broken(image: int) -> dict:
        read.append(image)
        if image == 3:
            raise OSError("truncated")
        time.sleep(0.01)
        return capture.read(image)

    with pytest.raises(OSError, match="truncated"):
        filled(replace(capture, read=broken))
    assert len(read) < 40


@pytest.mark.parametrize(("room", "threads"), [(10**9, 3), (2 * 80, 2), (0, 1)])
def test_no_more_images_are_decoded_at_once_than_memory_holds(
    room: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "available", lambda: round(room / filling.SHARE) + 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(3), raising=False)
    capture, at_once, most = capture_of(images_of([(4, 5)] * 40), masked=False), [], [0]

    def read(image: int) -> dict:
        at_once.append(image)
        most[0] = max(most[0], len(at_once))
        time.sleep(0.005)
        rows = capture.read(image)
        at_once.remove(image)
        return rows

    filled(replace(capture, read=read))
    assert most[0] == threads


@pytest.mark.parametrize("change", [lambda path: path.write_text("longer"), Path.unlink, lambda p: os.utime(p, (1, 1))])
def test_a_file_that_changes_while_it_is_read_is_named(change, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_text("short")
    capture = capture_of(images_of([(4, 5)]), [path])

    def read(image: int) -> dict:
        change(path)
        return capture.read(image)

    with pytest.raises(ImagesError, match=r"one\.png changed while it was read"):
        InMemory(replace(capture, read=read), QUIET).of([0])
