"""Ctrl-C, SIGTERM and a lost terminal end training between two steps, and say how to resume."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from nerfstudio.utils.rich_utils import CONSOLE

from softmining_nerfstudio.training.checkpoints import newest, step_of
from softmining_nerfstudio.training.course import Course
from softmining_nerfstudio.training.flags import flag_of
from softmining_nerfstudio.training.terminal import counted

_OF_TERMINAL = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # Windows has none
SIGNALS = (signal.SIGINT, signal.SIGTERM, *_OF_TERMINAL)
_LENGTH = ("--max-num-iterations", "--minutes")
_LOADING = ("--load-dir", "--load-step", "--load-checkpoint")


class Interrupted(BaseException):
    """Somebody asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = 128 + number


class Interruption:
    """Within this context, the first signal raises `Interrupted`: at once, or at the end of the step. A second one ends
    the process.

    Args:
        listens: whether to handle signals at all. Only the main thread can.
    """

    def __init__(self, listens: bool = True) -> None:
        self._listens = listens and threading.current_thread() is threading.main_thread()
        self._received: int | None = None
        self._in_step = False

    def __enter__(self) -> Interruption:
        self._before: dict[int, Any] = {
            number: signal.signal(number, self._receive)
            for number in SIGNALS
            if self._listens and signal.getsignal(number) is not signal.SIG_IGN  # a shell ignores Ctrl-C for its jobs
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def begin_step(self) -> None:
        """From here on a signal waits for the end of the step."""
        self._in_step = True

    def end_step(self) -> None:
        """Raise `Interrupted` if a signal has come, and at once from here on."""
        self._in_step = False
        if self._received is not None:
            raise Interrupted(self._received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        for each in self._before:  # a lost terminal may send its signal twice: it is not somebody who insists
            signal.signal(each, signal.SIG_IGN if each in _OF_TERMINAL else signal.SIG_DFL)
        self._received = number
        with suppress(OSError):  # the terminal may be gone
            os.write(2, b"\nStopping. Once more ends at once.\n")  # print may be what the signal interrupts
        if not self._in_step:
            raise Interrupted(number)


def say_stopped(course: Course, checkpoints: Path) -> None:
    """Print how to go on after the last complete step, and how to cool down from there and end."""
    ends_at = round(course.end) if course.ends_early else None
    saved, latest = course.steps - 1, newest(checkpoints)
    later = latest is not None and (step_of(latest) or 0) > saved  # of the training before
    from_step = saved if later else None
    resume = partial(resume_command, checkpoints, from_step=from_step)
    commands = {f"Stopped after {counted(course.steps, 'step')}. Resume with:": resume(steps=ends_at)}
    if course.share and not course.cooling:
        total = course.steps + course.steps_to_finish
        commands["Or cool down from there and finish, with:"] = resume(steps=total)
    for what, command in commands.items():
        CONSOLE.print(what)
        CONSOLE.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)


def resume_command(
    checkpoints: Path, arguments: Sequence[str] | None = None, steps: int | None = None, from_step: int | None = None
) -> str:
    """The command that goes on from a checkpoint of a folder, with the arguments of this process.

    Args:
        steps: to train in all; as many as were asked for by default.
        from_step: of the checkpoint; the newest by default.
    """
    program, *words = arguments or sys.argv
    length = [] if steps is None else ["--max-num-iterations", str(steps)]
    load = ["--load-dir", str(checkpoints)]
    if from_step is not None:
        load += ["--load-step", str(from_step)]
    if any(flag_of(word) == "--load-config" for word in words):  # it takes the place of all options
        return f"the options of that configuration and {shlex.join([*length, *load])}, without --load-config"
    if Path(program).stem != "ns-train":
        return f"the same arguments and {shlex.join([*length, *load])}"
    method, *options = words
    replaced = _LOADING if steps is None else (*_LOADING, *_LENGTH)
    kept: list[str] = []
    while options:
        word = options.pop(0)
        if flag_of(word) not in replaced:
            kept.append(word)
        elif "=" not in word:
            options.pop(0)  # its value
    return shlex.join(["ns-train", method, *load, *length, *kept])
