"""A small capture in nerfstudio's layout, to be broken."""

import json
import math
from pathlib import Path

from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from PIL import Image

from softmining_nerfstudio.training.datamanager import SoftMiningDataManager, SoftMiningDataManagerConfig


class Capture:
    """`transforms` and the images of ten cameras on an arc, 32 x 24 pixels."""

    width, height, views = 32, 24, 10

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "images").mkdir()
        frames = []
        for view in range(self.views):
            self.write(view, Image.new("RGB", (self.width, self.height), (9 * view, 80, 0)))
            cos, sin = math.cos(view / 5), math.sin(view / 5)
            pose = [[cos, 0, sin, 3 * sin + 1], [0, 1, 0, 2], [-sin, 0, cos, 3 * cos], [0, 0, 0, 1]]
            frames.append({"file_path": f"images/{self.name(view)}", "transform_matrix": pose})
        lens = {"fl_x": 30.0, "fl_y": 30.0, "cx": self.width / 2, "cy": self.height / 2}
        self.transforms = {"w": self.width, "h": self.height, **lens, "frames": frames}

    def name(self, view: int) -> str:
        return f"frame_{view}.png"

    def write(self, view: int, image: Image.Image, folder: str = "images", **options: object) -> Path:
        (self.folder / folder).mkdir(exist_ok=True)
        path = self.folder / folder / self.name(view)
        image.save(path, **options)  # type: ignore[arg-type]
        return path

    def load(self, parser: DataParserConfig | None = None, **options: object) -> SoftMiningDataManager:
        """Write transforms.json and read it all as training does."""
        (self.folder / "transforms.json").write_text(json.dumps(self.transforms))
        parser = NerfstudioDataParserConfig(data=self.folder) if parser is None else parser
        return SoftMiningDataManagerConfig(dataparser=parser, **options).setup(device="cpu")  # type: ignore[arg-type]
