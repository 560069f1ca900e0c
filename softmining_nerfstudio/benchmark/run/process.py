"""One run in a process of its own, which trains it and ends when this process does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from softmining_nerfstudio.benchmark.results import Failure
from softmining_nerfstudio.benchmark.run.task import Task

TRAINING = (sys.executable, "-m", "softmining_nerfstudio.benchmark.run.training")
PATIENCE = 10.0
"""Seconds that a process has to end after a request."""


@dataclass
class Child:
    """A run in its process. The process leads a process group of its own."""

    task: Task
    process: subprocess.Popen[bytes]
    log: Path
    log_start: int
    """Byte of the log at which this attempt begins; earlier attempts stand before it."""

    @classmethod
    def start(cls, task: Task, environment: Mapping[str, str], program: Sequence[str] = TRAINING) -> Child:
        """Start the process of a run, with these variables added to its environment."""
        log = Path(task.folder) / "logs" / f"{task.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            start = file.tell()
            process = subprocess.Popen(
                [*program, json.dumps(asdict(task))],
                stdin=subprocess.PIPE,  # closes when this process ends; the run reads nothing else from it
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "COLUMNS": "120", "PYTHONIOENCODING": "utf-8", **environment},
                start_new_session=True,  # so that Ctrl-C reaches this process only
            )
        return cls(task, process, log, start)

    def stop(self) -> None:
        """End the process and its children."""
        self._end(force=False)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        self._end(force=True)
        self.process.wait()

    def _end(self, *, force: bool) -> None:
        if sys.platform == "win32":
            self.process.terminate()
            return
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses to signal processes that have ended
            os.killpg(self.process.pid, signal.SIGKILL if force else signal.SIGTERM)

    def failure(self) -> Failure | None:
        """Why the run failed; None if it has not. Only after its end."""
        code = self.process.returncode
        if code == 0:
            return None
        self._end(force=True)  # its children
        reason = f"killed by signal {-code}" if code < 0 else _error_in(self.log, self.log_start)
        return Failure(**self.task.run._asdict(), error=f"{reason} (see {self.log})")


def _error_in(log: Path, start: int) -> str:
    """The last line that names an exception, or else the last line, after a byte of the log."""
    written = log.read_bytes()[start:].decode(errors="replace")
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    exceptions = [line for line in lines if _is_exception(line.split(":")[0])]
    return (exceptions or lines or ["it ended without output"])[-1]


def _is_exception(name: str) -> bool:
    """Whether this names an exception, with or without its module: `torch.OutOfMemoryError`."""
    *_, last = parts = name.split(".")
    return all(part.isidentifier() for part in parts) and ("Error" in last or last.endswith("Exception"))
