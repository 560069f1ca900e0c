"""The measurements in a results folder: one JSON line each, written as soon as it is known."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from softmining_nerfstudio.benchmark.errors import NoResultsError, ResultsError
from softmining_nerfstudio.training.checkpoints import step_of

FILE_NAME = "measurements.jsonl"


class Run(NamedTuple):
    """One training run of a suite."""

    scene: str
    method: str
    seed: int


@dataclass(frozen=True)
class Measurement:
    """The state of a run after some of its steps. Its clocks leave out evaluation."""

    scene: str
    method: str
    seed: int
    step: int
    """Training steps done."""
    seconds: float
    """Wall-clock of training so far, without set-up (an interrupted run repeats it)."""
    cpu_seconds: float
    """Processor time of all threads of the training process so far. Other work of the machine disturbs it less than the
    wall-clock; it says nothing where a GPU trains. It leaves out the worker processes in which some of nerfstudio's
    data managers draw the rays."""
    psnr: float
    """PSNR of the suite's held-out pixels, dB; NaN if the model's colours are no numbers."""
    peak_memory: int
    """Most memory that torch held on the GPU so far, bytes; tiny-cuda-nn's own is not counted. On a processor: most
    memory of the process."""
    render: str | None = None
    """Path of the strip's view, rendered at this step; relative to the results folder."""
    final: dict[str, float] | None = None
    """Mean psnr, ssim and, where available, lpips of whole held-out views; at the last step only."""
    mined: dict[str, str] | None = None
    """Paths of the pictures of rays and walkers in the first training image; relative to the results folder."""
    device: str | None = None
    """The device that trained up to here. Times of different devices do not compare."""
    threads: int | None = None
    """Torch's threads. Times of other numbers do not compare. None: unknown, which counts as equal."""

    @property
    def run(self) -> Run:
        """The run that it belongs to."""
        return Run(self.scene, self.method, self.seed)


@dataclass(frozen=True)
class Failure:
    """The error that ended a run."""

    scene: str
    method: str
    seed: int
    error: str

    @property
    def run(self) -> Run:
        """The run that it belongs to."""
        return Run(self.scene, self.method, self.seed)


def append(folder: Path, record: Measurement | Failure) -> None:
    """Write one record at the end of the results."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE_NAME).open("ab", buffering=0) as file:  # one write, so that other processes cannot split it
        file.write(f"{json.dumps(asdict(record))}\n".encode())


def repair(folder: Path) -> None:
    """Cut off an unfinished last line; otherwise the next one would continue it."""
    path = folder / FILE_NAME
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def _require_kinds(record: Measurement | Failure) -> None:
    """Check the values against the annotations.

    Raises:
        TypeError: one is of another kind.
    """
    for name, kind in _kinds(type(record)).items():
        if not _fits(value := getattr(record, name), kind):
            raise TypeError(f"{name} is {value!r}; expected {getattr(kind, '__name__', kind)}")


@functools.cache
def _kinds(record: type) -> dict[str, Any]:
    """The annotations of a record; evaluating them takes longer than reading a line."""
    return get_type_hints(record)


def _fits(value: object, kind: Any) -> bool:
    options = get_args(kind)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(_fits(of_key, options[1]) for of_key in value.values())
    if options:
        return any(_fits(value, option) for option in options)
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


def load(folder: Path) -> tuple[list[Measurement], list[Failure]]:
    """The measurements and failures in a results folder, in the order of runs and steps.

    A run that goes on from a checkpoint, or begins anew, measures once more what came after: the later lines count, by
    step and by time. A failure counts until its run measures again, and never if the run has its final measurement. An
    unfinished last line does not count.

    Raises:
        ResultsError: another line is not a record; the message names file and line.
        NoResultsError: there are no results.
    """
    path = folder / FILE_NAME
    if not path.exists():
        raise NoResultsError(f"there are no results in {folder}; expected {FILE_NAME} of softmining-bench run")
    measurements: dict[Run, list[Measurement]] = {}
    failures: dict[Run, Failure] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            record = Failure(**fields) if "error" in fields else Measurement(**fields)
            _require_kinds(record)
        except (ValueError, TypeError) as error:
            if number == len(lines):  # no newline: the process stopped while writing it
                continue
            raise ResultsError(f"{path}, line {number}: not a measurement ({error})") from error
        if isinstance(record, Failure):
            failures[record.run] = record
        else:
            failures.pop(record.run, None)
            before = measurements.get(record.run, [])
            valid = [m for m in before if m.step < record.step and m.seconds <= record.seconds]
            measurements[record.run] = [*valid, record]
    ended = {run for run, measured in measurements.items() if measured[-1].final is not None}
    ordered = [measurement for run in sorted(measurements) for measurement in measurements[run]]
    return ordered, [failures[run] for run in sorted(failures.keys() - ended)]


def at_checkpoint(folder: Path, run: Run, checkpoint: Path) -> Measurement | None:
    """The measurement of a run at one of its checkpoints; None if there is none."""
    step = step_of(checkpoint)
    if step is None or not (folder / FILE_NAME).exists():
        return None
    return next((m for m in load(folder)[0] if m.run == run and m.step == step + 1), None)
