"""What a data parser's error means for a user: which file, and what was expected."""

from __future__ import annotations

import glob
import re
import traceback
from pathlib import Path

from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig

from softmining_nerfstudio.training.cameras import require_cameras_of_files
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.frames import require_frames
from softmining_nerfstudio.training.run_folder import config_being_loaded

EXPECTED = (OSError, ValueError, LookupError, AssertionError, EOFError, ArithmeticError, RuntimeError, TypeError)
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
    require_frames(parser)
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
    reason = " ".join(reason.split())
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
    beside = sorted(
        other.name for other in path.parent.glob(f"{glob.escape(stem)}.*") if not other.name.startswith(".")
    )
    return f"Found {beside[0]} there." if beside else ""


def _path_in(error: FileNotFoundError) -> Path | None:
    """The missing path; imageio has it in its message alone."""
    quoted = re.search(r"'(.+)'", str(error))
    name = error.filename or (quoted and quoted[1])
    return Path(name).absolute() if name else None


def _image_in(error: Exception) -> Path | None:
    """The image that imageio could not read; its message may not name it."""
    called = (frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "imread")
    return next((Path(frame.f_locals["uri"]).absolute() for frame in called if "uri" in frame.f_locals), None)
