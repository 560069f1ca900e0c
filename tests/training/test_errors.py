"""Mistakes of the user are shown in one line; everything else keeps its traceback."""

import pytest

from softmining_nerfstudio.training.errors import MissingFileError, UserError, in_one_line


@pytest.mark.parametrize("error", [UserError("scene.json: no\nframes"), MissingFileError("scene.json: no frames")])
def test_a_mistake_of_the_user_is_one_line_and_exit_code_1(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, in_one_line():
        raise error
    assert caught.value.code == 1
    assert capsys.readouterr().err == "Error: scene.json: no frames\n"


def test_any_other_error_passes() -> None:
    with pytest.raises(ValueError, match="a fault of ours"), in_one_line():
        raise ValueError("a fault of ours")
