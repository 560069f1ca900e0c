"""Ctrl-C, SIGTERM and a lost terminal end training between two steps; the line that is printed goes on from there."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.interruption import (
    SIGNALS,
    Interrupted,
    Interruption,
    resume_command,
    say_stopped,
)

CHECKPOINTS = Path("out puts/scene/softmining-lite/run/nerfstudio_models")


@pytest.fixture(autouse=True)
def in_the_foreground() -> Iterator[None]:
    """A shell has its background jobs ignore Ctrl-C, the tests among them; nohup, the loss of the terminal."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_end_of_the_step(number: int) -> None:
    with Interruption() as interruption:
        interruption.begin_step()
        os.kill(os.getpid(), number)  # nothing happens yet
        with pytest.raises(Interrupted) as caught:
            interruption.end_step()
    assert caught.value.exit_status == 128 + number


def test_between_two_steps_it_does_not_wait() -> None:
    with Interruption() as interruption:
        interruption.begin_step()
        interruption.end_step()
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


def test_the_second_signal_ends_at_once() -> None:
    with Interruption() as interruption:
        interruption.begin_step()
        os.kill(os.getpid(), signal.SIGTERM)
        assert [signal.getsignal(number) for number in SIGNALS[:2]] == [signal.SIG_DFL] * 2


@pytest.mark.skipif(len(SIGNALS) < 3, reason="this system sends no signal when a terminal is lost")
def test_a_terminal_may_be_lost_twice() -> None:
    """The shell tells its jobs, and so does the system when the shell ends."""
    with Interruption() as interruption:
        interruption.begin_step()
        for _ in range(2):
            os.kill(os.getpid(), SIGNALS[2])
        with pytest.raises(Interrupted):
            interruption.end_step()


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interruption():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with Interruption(listens=False):
        assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_that_the_shell_ignores_stays_ignored() -> None:
    for number in (SIGNALS[0], SIGNALS[-1]):
        signal.signal(number, signal.SIG_IGN)
        with Interruption() as interruption:
            interruption.begin_step()
            os.kill(os.getpid(), signal.SIGTERM)
            assert signal.getsignal(number) is signal.SIG_IGN
        assert signal.getsignal(number) is signal.SIG_IGN


@pytest.mark.parametrize(
    "options",
    ["", "--load-dir old", "--load_dir=old --load-step 7", "--load-checkpoint old.ckpt"],
)
def test_the_line_that_resumes_has_the_arguments_of_this_run(options: str) -> None:
    words = f"/venv/bin/ns-train softmining-lite --vis tensorboard {options} blender-data --data DIR"
    assert resume_command(CHECKPOINTS, words.split()) == (
        f"ns-train softmining-lite --load-dir '{CHECKPOINTS}' --vis tensorboard blender-data --data DIR"
    )


def test_other_starts_are_told_what_to_add() -> None:
    found = resume_command(CHECKPOINTS, ["python", "train.py"])
    assert found == f"the same arguments and --load-dir '{CHECKPOINTS}'"


def test_a_configuration_file_leaves_no_room_for_options() -> None:
    found = resume_command(CHECKPOINTS, "ns-train softmining --load-config old/config.yml".split())
    assert found == f"the options of that configuration and --load-dir '{CHECKPOINTS}', without --load-config"


@pytest.mark.parametrize("options", ["--max-num-iterations 90", "--minutes=5", ""])
def test_the_line_that_finishes_asks_for_a_cool_down_alone(options: str) -> None:
    words = f"ns-train softmining {options} --load-dir old blender-data"
    assert resume_command(CHECKPOINTS, words.split(), steps=26) == (
        f"ns-train softmining --load-dir '{CHECKPOINTS}' --max-num-iterations 26 blender-data"
    )


def test_whoever_stops_training_is_told_how_to_finish_it(capsys: pytest.CaptureFixture[str]) -> None:
    say_stopped(Course(100, "steps", 0.3, steps=20), CHECKPOINTS)
    assert "--max-num-iterations 26" in capsys.readouterr().out
    say_stopped(Course(100, "steps", 0.3, steps=80), CHECKPOINTS)  # cools down anyway
    assert "finish" not in capsys.readouterr().out


def test_whoever_stops_before_older_checkpoints_resumes_from_what_was_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training that goes on from before a cool-down, in a folder that keeps the checkpoint after it."""
    (tmp_path / "step-000000019.ckpt").touch()
    for older, expected in ((None, False), ("step-000000039.ckpt", True)):
        if older is not None:
            (tmp_path / older).touch()
        say_stopped(Course(100, "steps", 0.3, steps=20), tmp_path)
        assert (capsys.readouterr().out.count("--load-step 19") == 2) == expected


def test_whoever_stops_a_training_that_ends_early_resumes_its_cool_down(capsys: pytest.CaptureFixture[str]) -> None:
    course = Course(300.0, "seconds", 0.3, steps=20)
    course.finish()
    course.add_step(1.0)
    say_stopped(course, CHECKPOINTS)
    assert "--max-num-iterations 26" in capsys.readouterr().out
    resumed = Course(26, "steps", 0.3)
    resumed.resume(21, course)
    assert (resumed.begin, resumed.cooling) == (20, True)
