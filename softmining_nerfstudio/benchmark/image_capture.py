"""A capture made in code: JPEG files of a given size, with masks if wanted, around a point."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

DIFFERENT = 4
"""Images that differ; the others are copies of these, so that making many takes no longer than writing them."""


def make_capture(folder: Path, images: int, megapixels: float, masks: bool) -> None:
    """Write images of 4:3, and nerfstudio's transforms.json."""
    height, width = round((megapixels * 1e6 * 3 / 4) ** 0.5), round((megapixels * 1e6 * 4 / 3) ** 0.5)
    files = [_jpeg(number, width, height) for number in range(min(DIFFERENT, images))]
    mask = io.BytesIO()
    Image.new("L", (width, height), 255).save(mask, "png")
    frames = []
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for image in range(images):
        path = f"images/{image:05d}.jpg"
        (folder / path).write_bytes(files[image % len(files)])
        angle = 2 * math.pi * image / images
        cos, sin = math.cos(angle), math.sin(angle)
        pose = [[cos, 0, sin, 3 * sin], [0, 1, 0, 0], [-sin, 0, cos, 3 * cos], [0, 0, 0, 1]]
        frames.append({"file_path": path, "transform_matrix": pose})
        if masks:
            frames[-1]["mask_path"] = f"masks/{image:05d}.png"
            (folder / frames[-1]["mask_path"]).write_bytes(mask.getvalue())
    lens = {"fl_x": width, "fl_y": width, "cx": width / 2, "cy": height / 2, "w": width, "h": height}
    (folder / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))


def _jpeg(seed: int, width: int, height: int) -> bytes:
    """Shapes of many sizes with some noise: about as many bytes as a photograph."""
    generator, image = np.random.default_rng(seed), np.zeros((height, width, 3), np.float32)
    for cells in (4, 16, 64, 256):
        coarse = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), np.uint8))
        image += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 4
    image += generator.normal(0, 4, (height, width, 1)).astype(np.float32)
    stored = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(stored, "jpeg", quality=92)
    return stored.getvalue()
