"""Questions of nerfstudio's parsers that nobody can answer."""

import io
from pathlib import Path
from typing import Any

import pytest
from colmap_scene import write_colmap_scene
from nerfstudio.data.dataparsers.colmap_dataparser import ColmapDataParserConfig
from rich.prompt import Confirm

from softmining_nerfstudio.training.datamanager import SoftMiningDataManagerConfig
from softmining_nerfstudio.training.questions import refuse_questions


def test_a_question_without_a_terminal_is_an_error_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_colmap_scene(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    parser: Any = ColmapDataParserConfig(data=tmp_path, colmap_path=Path("sparse"), downscale_factor=2)
    with pytest.raises(ValueError, match=r'asks "Would you like to downscale .*\?".*--downscale-factor 1 '):
        SoftMiningDataManagerConfig(dataparser=parser).setup(device="cpu")


def test_an_answer_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with refuse_questions():
        assert Confirm.ask("Well?")


def test_a_file_that_ends_too_soon_is_no_question() -> None:
    with pytest.raises(EOFError, match="No data left"), refuse_questions():
        raise EOFError("No data left in file")
