"""All runs of a suite, each in a process of its own. An interrupted run goes on from its last checkpoint.

A results folder holds the measurements (results.py), `suite.json` (record.py), `logs/`, `renders/`, and `runs/`:
nerfstudio's folders without their checkpoints.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.errors import NoResultsError, SuiteError
from softmining_nerfstudio.benchmark.results import Failure
from softmining_nerfstudio.benchmark.run.progress import RunsProgress
from softmining_nerfstudio.benchmark.run.task import Task

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

TRAINING = (sys.executable, "-m", "softmining_nerfstudio.benchmark.run.training")
POLL = 0.5
"""Seconds between two looks at the running processes."""
PATIENCE = 10.0
"""Seconds that a process has to end after a request."""


@dataclass
class Child:
    """A run in its process. The process leads a process group of its own."""

    task: Task
    process: subprocess.Popen[bytes]
    log: Path
    log_start: int = 0
    """Byte of the log at which this attempt begins; earlier attempts stand before it."""

    @classmethod
    def start(cls, task: Task, jobs: int, program: Sequence[str] = TRAINING) -> Child:
        """Start the process of a run. It ends when this process does."""
        log = Path(task.folder) / "logs" / f"{task.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            start = file.tell()
            process = subprocess.Popen(
                [*program, json.dumps(asdict(task))],
                stdin=subprocess.PIPE,  # closes when this process ends; the run reads nothing else from it
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": threads(jobs), "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"},
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

    def finish(self) -> Failure | None:
        """After the end: discard the checkpoints, or return why the run failed."""
        code = self.process.returncode
        if code == 0:
            discard_checkpoints(self.task)
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


def threads(jobs: int) -> str:
    """Threads of each process: OMP_NUM_THREADS, or its share of the cores."""
    return os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // jobs))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock a results folder for this process, where the system can lock files.

    Raises:
        SuiteError: another process has locked it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w", encoding="utf-8") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SuiteError(
                f"another softmining-bench is at work in {folder}; wait for it, or use --output"
            ) from error
        yield


def discard_checkpoints(task: Task) -> None:
    """Delete the checkpoints of a finished run; its config.yml stays."""
    for run in (Path(task.folder) / "runs" / task.experiment).glob(f"*/seed-{task.seed}"):
        shutil.rmtree(run / "nerfstudio_models", ignore_errors=True)


def pending(tasks: Sequence[Task], folder: Path) -> list[Task]:
    """The tasks without a final measurement. Discards the checkpoints of the others."""
    try:
        measured, _ = results.load(folder)
    except NoResultsError:
        return list(tasks)
    finished = {m.run for m in measured if m.final is not None}
    for task in tasks:
        if task.run in finished:
            discard_checkpoints(task)
    return [task for task in tasks if task.run not in finished]


def execute(
    tasks: Sequence[Task], folder: Path, jobs: int, console: Console, program: Sequence[str] = TRAINING
) -> list[Failure]:
    """Train all tasks, `jobs` at a time, and return the failures. Ctrl-C stops the running ones."""
    waiting, children, failures = list(tasks), [], []
    with RunsProgress(tasks, folder, console) as progress:
        try:
            while waiting or children:
                while waiting and len(children) < jobs:
                    children.append(Child.start(waiting.pop(0), jobs, program))
                time.sleep(POLL)
                for child in list(_ended(children)):
                    children.remove(child)
                    if failure := child.finish():
                        failures.append(failure)
                        results.append(folder, failure)
                    progress.say_ended(child.task, failure)
                progress.show([child.task for child in children])
        finally:
            for child in children:
                child.stop()
    return failures


def _ended(children: Sequence[Child]) -> Iterator[Child]:
    return (child for child in children if child.process.poll() is not None)
