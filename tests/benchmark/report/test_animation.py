"""The renders of baseline and miner side by side, as both trainings go on."""

from pathlib import Path

import numpy as np
import pytest
from hand_worked import markdown_of
from PIL import Image

from softmining_nerfstudio.benchmark.report import animation
from softmining_nerfstudio.benchmark.report.reading import read


def test_a_frame_shows_the_last_render_of_each_method_by_then(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animation, "LEAST_FRAMES", 5)
    frames = animation.side_by_side(read(folder).study, "chair", folder)
    assert frames is not None
    assert len(frames) == 5  # at 0, 12.5, 25, 37.5 and 50 s
    halves = [np.split(np.asarray(frame)[animation.CAPTION + 9 : -9], 2, axis=1) for frame in frames]
    shown = [[round(float(half.mean())) for half in pair] for pair in halves]
    assert shown == [[100, 100], [110, 110], [120, 120], [130, 130], [140, 140]]
    assert np.asarray(frames[0])[: animation.CAPTION].min() < 100  # the caption


def test_few_renders_are_no_animation(folder: Path) -> None:
    assert animation.side_by_side(read(folder).study, "chair", folder) is None


def test_an_animation_is_written_and_linked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animation, "LEAST_FRAMES", 5)
    assert "![side-by-side-chair](results/plots/side-by-side-chair.webp)" in markdown_of(folder, plots=folder / "plots")
    with Image.open(folder / "plots" / "side-by-side-chair.webp") as image:
        assert image.n_frames == 5  # type: ignore[attr-defined]
