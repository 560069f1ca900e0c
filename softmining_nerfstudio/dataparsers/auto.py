"""The ``auto-data`` data parser: looks at a folder and hands it to the parser that reads it.

The default of every method, so that `ns-train METHOD --data DIR` needs no parser's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.dataparsers.instant_ngp_dataparser import InstantNGPDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from nerfstudio.utils.io import load_from_json

from softmining_nerfstudio.dataparsers.demo_scene import DemoSceneDataParserConfig
from softmining_nerfstudio.dataparsers.instant_ngp import InstantNGP
from softmining_nerfstudio.dataparsers.llff import LLFFDataParserConfig

CAPTURE, BLENDER = "transforms.json", "transforms_train.json"
PARSERS: dict[str, type[DataParserConfig]] = {
    CAPTURE: NerfstudioDataParserConfig,
    BLENDER: BlenderDataParserConfig,
    "poses_bounds.npy": LLFFDataParserConfig,
}
"""The file that tells a kind of data -> the parser of that kind. The first file that exists decides."""
SHOWN = 8
"""Most files that an error lists."""


@dataclass
class AutoDataParserConfig(DataParserConfig):
    """Reads a capture, a NeRF-synthetic scene or an LLFF capture, whichever the folder holds."""

    _target: type = field(default_factory=lambda: DataParser)
    """target class to instantiate; `setup` takes the found parser's"""
    data: Path | None = None
    """Folder with transforms.json, transforms_train.json or poses_bounds.npy; or a transforms file."""
    demo: bool = False
    """Read the built-in demo scene if no data is named."""

    def found(self, data: Path | None = None) -> DataParserConfig:
        """The configuration of the parser that reads the data.

        Args:
            data: comes before the configuration's own.

        Raises:
            FileNotFoundError: no data is named, or it is not there.
            ValueError: it is of no kind that this parser knows. The message says what is there.
        """
        data = data or self.data
        if data is None:
            if self.demo:
                return DemoSceneDataParserConfig()
            raise FileNotFoundError("No data is named. Add --data DIR, or demo-scene for the built-in scene.")
        data = data.expanduser()
        if not data.exists():
            raise FileNotFoundError(f"--data: there is no {data}")
        if data.suffix == ".json" and data.is_file():
            parser = _capture(data, data)
            if isinstance(parser, InstantNGPDataParserConfig) and (data.parent / BLENDER).exists():
                raise ValueError(
                    f"--data: {data} is a part of a NeRF Synthetic scene. Name its folder, {data.parent}. If it is a "
                    f"capture, name its parser: ns-train METHOD instant-ngp-data --data {data}"
                )
            return parser
        for name, parser in PARSERS.items():
            if (path := data / name).exists():
                return _capture(path, data) if name == CAPTURE else parser(data=data)
        expected = f"--data: {data} {_contents(data)}. Expected a folder with one of {', '.join(PARSERS)}"
        if data.is_dir() and (inside := [path.parent for name in PARSERS for path in data.glob(f"*/{name}")]):
            raise ValueError(f"{expected}; {min(inside)} is one")
        sparse = " --colmap-path sparse/0" if (data / "sparse" / "0").is_dir() else ""
        raise ValueError(
            f"{expected}. ns-process-data makes one of photographs. For another format name its parser: ns-train "
            f"METHOD colmap --data DIR{sparse}"
        )

    def setup(self, **options: Any) -> DataParser:
        """The parser of what is there; raises as `found` does."""
        return self.found().setup(**options)


def _capture(transforms: Path, data: Path) -> DataParserConfig:
    """The parser of a transforms file: instant-ngp's where it has what that program writes and nerfstudio's parser
    does not know, an angle of view in place of focal lengths, or a fisheye lens."""
    try:
        meta = load_from_json(transforms)
        focal = "fl_x" in meta or "fl_x" in meta["frames"][0]
        angle = not focal and ("camera_angle_x" in meta or "x_fov" in meta)
        fisheye = meta.get("is_fisheye", False) and "camera_model" not in meta
        of_instant_ngp = angle or fisheye
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        of_instant_ngp = False  # the parser says what is wrong
    if of_instant_ngp:
        return InstantNGPDataParserConfig(_target=InstantNGP, data=data)
    return NerfstudioDataParserConfig(data=data)


def _contents(data: Path) -> str:
    """What a folder holds, hidden files aside."""
    if not data.is_dir():
        return "is a file"
    names = sorted(path.name + "/" * path.is_dir() for path in data.iterdir() if not path.name.startswith("."))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"holds {', '.join(names[:SHOWN])}{more}" if names else "is empty"


auto_data = DataParserSpecification(
    config=AutoDataParserConfig(),
    description="Whatever the folder holds: transforms.json, transforms_train.json or poses_bounds.npy.",
)
