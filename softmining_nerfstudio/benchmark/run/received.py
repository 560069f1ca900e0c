"""The results folder of a suite whose runs train elsewhere: what they report is kept as if they trained here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from softmining_nerfstudio.benchmark import results
from softmining_nerfstudio.benchmark.results import Measurement
from softmining_nerfstudio.benchmark.run.node import Report
from softmining_nerfstudio.benchmark.run.task import Task
from softmining_nerfstudio.training.checkpoints import newest


class Received:
    """Writes reports into a results folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, report: Report) -> None:
        """Write files first, then the measurement that names them."""
        for name, content in report.files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".log":  # earlier attempts stand before it
                with path.open("ab") as file:
                    file.write(content)
                continue
            unfinished = path.with_name(f"{path.name}.unfinished")
            unfinished.write_bytes(content)
            unfinished.replace(path)
            if path.suffix == ".ckpt":
                _remove_others(path)
        if report.measurement is not None:
            results.append(self._folder, Measurement(**report.measurement))

    def start_of(self, task: Task) -> tuple[dict[str, bytes], dict[str, Any] | None]:
        """The newest checkpoint of a run, by its path, and its measurement; nothing without both."""
        run = self._folder / "runs" / task.experiment
        for folder in run.glob(f"*/seed-{task.seed}/nerfstudio_models"):
            path = newest(folder)
            if path is not None and (measured := results.at_checkpoint(self._folder, task.run, path)) is not None:
                return {path.relative_to(self._folder).as_posix(): path.read_bytes()}, asdict(measured)
        return {}, None


def _remove_others(checkpoint: Path) -> None:
    for other in checkpoint.parent.glob("*.ckpt"):
        if other != checkpoint:
            other.unlink()
