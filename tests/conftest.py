"""A tiny scene on disk, in Blender layout, for tests that go through nerfstudio.

The shapes in the signatures of `mining` are checked while tests run, where beartype is installed.
"""

import json
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook
from PIL import Image

SIZE = 24

if find_spec("beartype"):
    install_import_hook("softmining_nerfstudio.mining", "beartype.beartype")


@pytest.fixture(scope="session")
def blender_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coloured disc before transparency, seen from six sides, 24 px."""
    folder = tmp_path_factory.mktemp("data") / "disc"
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    disc = (rows**2 + columns**2 < (SIZE / 3) ** 2).astype(np.uint8) * 255
    for split, views in {"train": 6, "val": 2, "test": 2}.items():
        (folder / split).mkdir(parents=True)
        frames = []
        for view in range(views):
            angle = 2 * math.pi * view / views
            colour = np.stack([disc, disc // 2, (columns > 0) * disc, disc], -1)
            Image.fromarray(colour).save(folder / split / f"r_{view}.png")
            cos, sin = math.cos(angle), math.sin(angle)
            pose = [[cos, 0, sin, 4 * sin], [0, 1, 0, 0], [-sin, 0, cos, 4 * cos], [0, 0, 0, 1]]
            frames.append({"file_path": f"./{split}/r_{view}", "transform_matrix": pose})
        transforms = {"camera_angle_x": 0.69, "frames": frames}
        (folder / f"transforms_{split}.json").write_text(json.dumps(transforms))
    return folder


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.manual_seed(0)
