"""What the `transforms*.json` of a capture must hold: frames, each with an image and a pose, and the camera's lens.

nerfstudio's parsers take it for granted. It is checked once one of them has failed, to say which number is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nerfstudio.cameras.cameras import CAMERA_MODEL_TO_TYPE
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.dataparsers.instant_ngp_dataparser import InstantNGPDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

from softmining_nerfstudio.training.errors import UserError

OF_A_FRAME: dict[str, tuple[type, str]] = {
    "file_path": (str, "a path, such as images/0.png"),
    "transform_matrix": (list, "four rows of four numbers"),
}
"""Key -> its kind in JSON, what is expected."""
LENS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
"""What nerfstudio's own parser reads of a lens, in pixels."""
ANGLES = {"fl_x": "pixels", "x_fov": "degrees", "camera_angle_x": "radians"}
"""Of these instant-ngp's parser needs one."""


def require_frames(parser: DataParserConfig) -> None:
    """Check the files of a capture that a parser reads; other captures have none of them.

    Raises:
        UserError: if one is not JSON, names another camera model, lists no frames, one without image or pose, or lacks
            a number of the lens that this parser needs.
    """
    for path in _files(parser):
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
            frames = meta.get("frames")
        except (ValueError, AttributeError) as error:
            raise UserError(f"cannot read {path}: {error}. Expected a JSON object with the key frames.") from error
        if not frames or not isinstance(frames, list):
            raise UserError(f"{path} lists no frames; expected at least one image")
        model = meta.get("camera_model", "OPENCV") if isinstance(parser, NerfstudioDataParserConfig) else "OPENCV"
        if model not in [*CAMERA_MODEL_TO_TYPE]:  # a list: it may be none that can be hashed
            raise UserError(f"{path}: camera_model is {model}; expected one of {', '.join(CAMERA_MODEL_TO_TYPE)}")
        for number, frame in enumerate(frames):
            _require_frame(path, number, frame)
        _require_lens(path, parser, meta)


def _files(parser: DataParserConfig) -> Iterator[Path]:
    """Those that are there; a folder may hold backups of them, and the files of another parser, too."""
    data, splits = parser.data, [f"transforms_{split}.json" for split in ("train", "val", "test")]
    if data.suffix == ".json":
        paths = [data]
    elif isinstance(parser, BlenderDataParserConfig):
        paths = [data / name for name in splits]
    elif isinstance(parser, NerfstudioDataParserConfig | InstantNGPDataParserConfig):
        paths = [data / "transforms.json"]
    else:
        paths = [data / name for name in ("transforms.json", *splits)]
    return filter(Path.is_file, paths)


def _require_frame(path: Path, number: int, frame: Any) -> None:
    for key, (kind, expected) in OF_A_FRAME.items():
        value = frame.get(key) if isinstance(frame, dict) else None
        if not isinstance(value, kind):
            found = "no" if value is None else f"{value!r} as its"
            raise UserError(f"{path}: frame {number} has {found} {key}; expected {expected}")
    rows = [len(row) if isinstance(row, list) else 1 for row in frame["transform_matrix"]]
    if rows != [4] * 4:
        found = f"the transform_matrix of {frame['file_path']} has rows of {rows} numbers"
        raise UserError(f"{path}: {found}; expected four rows of four")


def _require_lens(path: Path, parser: DataParserConfig, meta: dict[str, Any]) -> None:
    def lacks(key: str) -> bool:
        return meta.get(key) is None

    if isinstance(parser, BlenderDataParserConfig) and lacks("camera_angle_x"):
        unread = "" if lacks("fl_x") else " blender-data does not read fl_x."
        raise UserError(f"{path} has no camera_angle_x; expected the horizontal angle of view in radians.{unread}")
    if isinstance(parser, InstantNGPDataParserConfig) and all(map(lacks, ANGLES)):
        expected = ", ".join(f"{key} ({unit})" for key, unit in ANGLES.items())
        raise UserError(f"{path} has no focal length for all frames; expected one of {expected}")
    if isinstance(parser, NerfstudioDataParserConfig):
        own = [(key, number) for key in LENS if lacks(key) for number, frame in enumerate(meta["frames"])]
        missing = next(((key, number) for key, number in own if meta["frames"][number].get(key) is None), None)
        if missing is not None:
            key, number = missing
            raise UserError(
                f"{path} has no {key} for all frames, and none for frame {number}; expected {', '.join(LENS)} in "
                "pixels, for all frames or in each"
            )
