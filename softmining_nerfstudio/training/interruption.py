"""Ctrl-C and SIGTERM end training between two steps, and say how to resume."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from nerfstudio.utils.rich_utils import CONSOLE

SIGNALS = (signal.SIGINT, signal.SIGTERM)
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

    def begin_step(self, step: int) -> None:
        """From here on a signal waits for the end of the step."""
        del step
        self._in_step = True

    def end_step(self) -> None:
        """Raise `Interrupted` if a signal has come, and at once from here on."""
        self._in_step = False
        if self._received is not None:
            raise Interrupted(self._received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self._received = number
        os.write(2, b"\nStopping. Once more ends at once.\n")  # print may be what the signal interrupts
        if not self._in_step:
            raise Interrupted(number)


def say_stopped(step: int, checkpoints: Path) -> None:
    """Print how to go on after the last complete step."""
    CONSOLE.print(f"Stopped after {step + 1} steps. Resume with:")
    CONSOLE.print(f"  {resume_command(checkpoints)}", soft_wrap=True, markup=False, highlight=False)


def resume_command(checkpoints: Path, arguments: Sequence[str] | None = None) -> str:
    """The command that goes on from the newest checkpoint of a folder, with the arguments of this process."""
    program, *words = arguments or sys.argv
    if Path(program).stem != "ns-train" or any(_is(word, "--load-config") for word in words):
        return f"the same arguments and --load-dir {shlex.quote(str(checkpoints))}"
    method, *options = words
    kept: list[str] = []
    while options:
        word = options.pop(0)
        if not any(_is(word, name) for name in _LOADING):
            kept.append(word)
        elif "=" not in word:
            options.pop(0)  # its value
    return shlex.join(["ns-train", method, "--load-dir", str(checkpoints), *kept])


def _is(word: str, option: str) -> bool:
    return word.split("=")[0].replace("_", "-") == option
