"""What was measured: a folder with one JSON line per measurement, written as it is made."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from softmining_nerfstudio.benchmark.errors import NoResultsError, ResultsError

FILE_NAME = "measurements.jsonl"


class Run(NamedTuple):
    """One training run of a suite."""

    scene: str
    method: str
    seed: int


@dataclass(frozen=True)
class Measurement:
    """The state of a run after some of its steps. Evaluation is excluded from the clocks."""

    scene: str
    method: str
    seed: int
    step: int
    """Training steps done."""
    seconds: float
    """Wall-clock spent training so far; set-up, which a run that was interrupted repeats, is not in it."""
    cpu_seconds: float
    """Time that all threads of the process spent on a processor while training so far: not disturbed by other work of
    the machine, as long as nothing is computed on a GPU. Worker processes, in which some of nerfstudio's data managers
    draw the rays, are not in it."""
    psnr: float
    """Of the held-out pixels that the suite asks for, dB; NaN if the model's colours are no numbers."""
    peak_memory: int
    """Most memory held so far, bytes: of the GPU where one is used, of the process otherwise."""
    render: str | None = None
    """The view to be shown in a strip, as rendered now; relative to the results folder."""
    final: dict[str, float] | None = None
    """At the last step only: mean psnr, ssim and, where available, lpips of whole held-out views."""
    mined: dict[str, str] | None = None
    """Pictures of what the miner did in the first training image, rays and walkers; relative to the results folder."""

    @property
    def run(self) -> Run:
        """The run it is of."""
        return Run(self.scene, self.method, self.seed)


@dataclass(frozen=True)
class Failure:
    """A run that ended with an error."""

    scene: str
    method: str
    seed: int
    error: str

    @property
    def run(self) -> Run:
        """The run it is of."""
        return Run(self.scene, self.method, self.seed)


def append(folder: Path, record: Measurement | Failure) -> None:
    """Write one record at the end of the results."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE_NAME).open("ab", buffering=0) as file:  # one write, whole beside those of other processes
        file.write(f"{json.dumps(asdict(record))}\n".encode())


def repair(folder: Path) -> None:
    """Cut off a last line that was not written to its end, lest the next one is written behind it."""
    path = folder / FILE_NAME
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def load(folder: Path) -> tuple[list[Measurement], list[Failure]]:
    """The measurements and failures in a results folder, in the order of runs and steps.

    A run that was interrupted and went on from a checkpoint may have measured a step twice: the later line counts. A
    failure counts until its run has measured something after it, and not at all once it was measured to its end. A last
    line that was not written to its end is passed over.

    Raises:
        ResultsError: if another line is not a record; it names file and line.
        NoResultsError: if there are no results.
    """
    path = folder / FILE_NAME
    if not path.exists():
        raise NoResultsError(f"there are no results in {folder}: expected {FILE_NAME}, as softmining-bench run writes")
    measurements: dict[tuple[Run, int], Measurement] = {}
    failures: dict[Run, Failure] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            record = Failure(**fields) if "error" in fields else Measurement(**fields)
        except (ValueError, TypeError) as error:
            if number == len(lines):  # no newline after it: it was being written when the process was stopped
                continue
            raise ResultsError(f"{path}, line {number}: not a measurement ({error})") from error
        if isinstance(record, Failure):
            failures[record.run] = record
        else:
            failures.pop(record.run, None)
            measurements[record.run, record.step] = record
    ordered = sorted(measurements.values(), key=lambda m: (m.run, m.step))
    finished = {measurement.run for measurement in ordered if measurement.final is not None}
    return ordered, sorted((failures[run] for run in failures.keys() - finished), key=lambda failure: failure.run)
