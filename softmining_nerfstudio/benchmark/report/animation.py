"""An animation of one held-out view while baseline and miner train: their renders side by side, and the time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from softmining_nerfstudio.benchmark.report.strip import read_image, rendered
from softmining_nerfstudio.benchmark.report.study import Study, unit_of
from softmining_nerfstudio.benchmark.results import Measurement

LEAST_FRAMES = 6
"""Renders of each method; fewer are no animation."""
MOST_FRAMES = 40
SECONDS = 8
"""How long it lasts, and how long its last frame stays, in all."""
MOST_WIDTH = 720
"""Pixels."""
CAPTION = 34
"""Height of the line above the renders, pixels."""


def side_by_side(study: Study, scene: str, folder: Path) -> list[Image.Image] | None:
    """The frames, evenly spaced in time; None if there are not enough renders of one seed.

    A frame shows the last render of each method by then.
    """
    if study.miner is None:
        return None
    for seed in study.seeds([scene], study.baseline):
        found = rendered(study, scene, seed, folder)
        shown = {name: found.get(name, []) for name in (study.baseline, study.miner)}
        if min(map(len, shown.values())) >= LEAST_FRAMES:
            return _frames(shown, folder, study)
    return None


def save(frames: list[Image.Image], path: Path) -> None:
    """Write an endless WebP animation. Its last frame stays for a quarter of the time."""
    each = round(1000 * SECONDS * 0.75 / len(frames))
    durations = [each] * (len(frames) - 1) + [round(1000 * SECONDS / 4)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=80, method=6)


def _frames(shown: dict[str, list[Measurement]], folder: Path, study: Study) -> list[Image.Image]:
    def time(measurement: Measurement) -> float:
        return getattr(measurement, study.clock)

    end = max(time(measured[-1]) for measured in shown.values())
    count = min(MOST_FRAMES, max(map(len, shown.values())))
    size, unit = unit_of(end)
    images = {m.render: read_image(folder / str(m.render)) for measured in shown.values() for m in measured}
    frames = []
    for moment in np.linspace(0, end, count):
        now = [[m for m in measured if time(m) <= moment + 1e-9] or measured[:1] for measured in shown.values()]
        captions = [
            f"{name}  {min(moment, time(measured[-1])) / size:.0f} {unit}  {reached[-1].psnr:.1f} dB"
            for (name, measured), reached in zip(shown.items(), now, strict=True)
        ]
        frames.append(_frame([images[reached[-1].render] for reached in now], captions))
    return frames


def _frame(images: list[np.ndarray], captions: list[str]) -> Image.Image:
    pixels = Image.fromarray((np.concatenate(images, axis=1) * 255).round().astype(np.uint8))
    factor = MOST_WIDTH / pixels.width
    pixels = pixels.resize((MOST_WIDTH, round(pixels.height * factor)), Image.Resampling.BICUBIC)
    frame = Image.new("RGB", (pixels.width, pixels.height + CAPTION), "white")
    frame.paste(pixels, (0, CAPTION))
    draw, font = ImageDraw.Draw(frame), ImageFont.load_default(18)
    for place, caption in enumerate(captions):
        draw.text((place * frame.width / len(captions) + 8, CAPTION / 2), caption, "black", font, anchor="lm")
    return frame
