"""What a data parser's error means for a user: which file, and what was expected."""

from __future__ import annotations

import json
import re
import traceback
from pathlib import Path

from nerfstudio.cameras.cameras import CAMERA_MODEL_TO_TYPE
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig

from softmining_nerfstudio.training.cameras import require_cameras_of_files
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.run_folder import config_being_loaded

EXPECTED = (OSError, ValueError, LookupError, AssertionError, EOFError, ArithmeticError, RuntimeError)
"""What parsers raise on bad data. Other errors are faults of a program."""


def explain(error: Exception, parser: DataParserConfig) -> None:
    """Say what is wrong with the data, if an error comes from the parser.

    Raises:
        UserError: what the parser's error means.
    """
    frames = (frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__))
    if "get_dataparser_outputs" not in frames:
        return
    reader = name_of(parser)
    if not parser.data.exists():
        recorded = config_being_loaded()
        moved = "" if recorded is None else f" Its path is in {recorded}: if the data have been moved, change it there."
        raise UserError(
            f"{parser.data.absolute()}: no such file or folder. {reader} expects data there.{moved}"
        ) from error
    require_frames(parser.data)
    if not isinstance(error, EXPECTED):
        return
    if isinstance(error, ArithmeticError) or "linalg" in str(error):
        require_cameras_of_files(parser)
    if isinstance(error, FileNotFoundError) and (path := _path_in(error)) is not None:
        advice = hint(path) if parser.data != Path() else "Name the folder of the data with --data DIR."
        raise UserError(f"{path}: no such file. {reader} expects it. {advice}".rstrip()) from error
    reason = (
        str(error) if isinstance(error, OSError | ValueError | AssertionError) else f"{type(error).__name__} {error}"
    )
    if (image := _image_in(error)) is not None:
        raise UserError(f"{reader} cannot read {image}: {reason}. Expected an image.") from error
    raise UserError(f"{reader} cannot read {parser.data.absolute()}: {reason}") from error


def name_of(parser: DataParserConfig) -> str:
    """What a parser is called on the command line."""
    from nerfstudio.configs.dataparser_configs import all_dataparsers  # imports the plugin, which imports this

    names = (name for name, config in all_dataparsers.items() if type(config) is type(parser))
    return next(names, type(parser).__name__)


def hint(path: Path) -> str:
    """What lies where a missing file was expected."""
    if "\\" in str(path):
        there = Path(str(path).replace("\\", "/"))
        return f"It has backslashes, as on Windows; {there} {'is there' if there.exists() else 'is missing, too'}."
    if not path.parent.is_dir():
        nearest = next(folder for folder in path.absolute().parents if folder.is_dir())
        return f"There is no folder {path.parent.absolute()}; the nearest is {nearest}."
    stem = path.name.split(".")[0]  # nerfstudio adds .png to r_0.jpg
    beside = sorted(other.name for other in path.parent.glob(f"{stem}.*") if not other.name.startswith("."))
    return f"Found {beside[0]} there." if beside else ""


def require_frames(data: Path) -> None:
    """Check that the `transforms*.json` of a capture list frames, each with an image and a pose, of a known camera.

    Args:
        data: the folder of the capture, or its file.

    Raises:
        UserError: if one is not JSON, names another camera model, lists no frames, or one without image or pose.
    """
    for path in [data] if data.suffix == ".json" and data.exists() else sorted(data.glob("transforms*.json")):
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
            frames = meta.get("frames")
        except (ValueError, AttributeError) as error:
            raise UserError(f"cannot read {path}: {error}. Expected a JSON object with the key frames.") from error
        if not frames:
            raise UserError(f"{path} lists no frames; expected at least one image")
        if (model := meta.get("camera_model", "OPENCV")) not in CAMERA_MODEL_TO_TYPE:
            raise UserError(f"{path}: camera_model is {model}; expected one of {', '.join(CAMERA_MODEL_TO_TYPE)}")
        for number, frame in enumerate(frames):
            for key in ("file_path", "transform_matrix"):
                if key not in frame:
                    raise UserError(f"{path}: frame {number} has no {key}; expected file_path and transform_matrix")
            rows = [len(row) if isinstance(row, list) else 1 for row in frame["transform_matrix"]]
            if rows != [4] * 4:
                found = f"the transform_matrix of {frame['file_path']} has rows of {rows} numbers"
                raise UserError(f"{path}: {found}; expected four rows of four")


def _path_in(error: FileNotFoundError) -> Path | None:
    """The missing path; imageio has it in its message alone."""
    quoted = re.search(r"'(.+)'", str(error))
    name = error.filename or (quoted and quoted[1])
    return Path(name).absolute() if name else None


def _image_in(error: Exception) -> Path | None:
    """The image that imageio could not read; its message may not name it."""
    called = (frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "imread")
    return next((Path(frame.f_locals["uri"]).absolute() for frame in called if "uri" in frame.f_locals), None)
