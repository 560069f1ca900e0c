"""Tiles that fit are read through once; others are not."""

from pathlib import Path

import pytest

from softmining_nerfstudio.images.tiles import warming
from softmining_nerfstudio.images.tiles.warming import read_through, warm


@pytest.mark.parametrize(("free", "read"), [(1e9, 30_000), (61_000, 30_000), (59_000, 0)])
def test_files_are_read_if_they_fit(free: float, read: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "image.tiles", tmp_path / "mask.tiles"]
    for path, count in zip(paths, (20_000, 10_000), strict=True):
        path.write_bytes(bytes(count))
    monkeypatch.setattr(warming, "available", lambda: free)
    assert read_through(paths) == read


def test_files_that_are_gone_end_it_quietly(tmp_path: Path) -> None:
    thread = warm([tmp_path / "gone"])
    thread.join(10)
    assert not thread.is_alive()
    assert read_through([tmp_path / "gone"]) == 0
