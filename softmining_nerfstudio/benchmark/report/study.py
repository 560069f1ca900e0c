"""The finished runs of a results folder, and the numbers that compare them.

A method meets its reference seed by seed. The median is taken over the ratios or differences:

    median over seeds s of number(method, s; reference, s).

Over several scenes, a seed's number is the mean of its scenes' numbers, geometric for ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from softmining_nerfstudio.benchmark.report.speedup import (
    Between,
    Curve,
    SeedRange,
    exactly,
    mean,
    psnr_at,
    seed_range,
    speed_up,
)
from softmining_nerfstudio.benchmark.results import Measurement, Run

Axis = Literal["step", "seconds", "cpu_seconds"]
"""The horizontal axis of a curve: a field of `Measurement`."""

AXIS_NAMES: dict[Axis, str] = {"step": "steps", "seconds": "wall-clock", "cpu_seconds": "CPU time"}

ClockName = Literal["wall", "cpu"]
STOCK = "nerfstudio"
"""The name of the row with nerfstudio's own encoding and optimizer, besides the baseline, which has the miner's."""

CLOCK_AXES: dict[ClockName, Axis] = {"wall": "seconds", "cpu": "cpu_seconds"}


@dataclass(frozen=True)
class Study:
    """The finished runs of a suite."""

    baseline: str
    """The method that others are compared with."""
    tuned: str | None
    """The baseline with tuned settings, if the suite has one."""
    scenes: tuple[str, ...]
    methods: tuple[str, ...]
    runs: dict[Run, list[Measurement]]
    """The measurements of each run, by step."""
    clock: Axis = "seconds"
    """The axis that counts as time."""
    stock: str | None = None
    """The row STOCK, if the suite has one."""

    @property
    def references(self) -> tuple[str, ...]:
        """The methods that others are compared with: the baseline, tuned and as nerfstudio has it."""
        return tuple(name for name in (self.baseline, self.tuned, self.stock) if name is not None)

    @property
    def miner(self) -> str | None:
        """The method that the report is about: the suite's first one that is no reference."""
        return next((name for name in self.methods if name not in self.references), None)

    def curve(self, run: Run, axis: Axis) -> Curve:
        """PSNR of the held-out pixels over steps or seconds."""
        measured = self.runs[run]
        return Curve(tuple(getattr(m, axis) for m in measured), tuple(m.psnr for m in measured))

    def seeds(self, scenes: Sequence[str], method: str) -> list[int]:
        """The seeds with which a method has finished all the scenes."""
        finished = [{run.seed for run in self.runs if run[:2] == (scene, method)} for scene in scenes]
        return sorted(set.intersection(*finished))

    def comparable(self, run: Run, reference: str, axis: Axis) -> bool:
        """Whether the reference has finished the same scene and seed; for times, if they compare."""
        other = run._replace(method=reference)
        return other in self.runs and (axis == "step" or self._times_compare(run, other))

    def ends_compare(self, run: Run, reference: str) -> bool:
        """Whether both ended after as many steps, or on the same device; trainings of so many minutes do the latter."""
        if not self.comparable(run, reference, "step"):
            return False
        as_many = self.runs[run][-1].step == self.runs[run._replace(method=reference)][-1].step
        return as_many or self.comparable(run, reference, "seconds")

    def _times_compare(self, *runs: Run) -> bool:
        """Whether one device trained these runs throughout, with one number of threads as far as that is known."""
        measured = [m for run in runs for m in self.runs[run]]
        threads = {m.threads for m in measured if m.threads is not None}
        return len({m.device for m in measured}) == 1 and len(threads) <= 1

    def on_one_device(self) -> Study:
        """The runs whose times compare: in each scene, those of the device with most runs of the baseline."""
        kept = {}
        for scene in self.scenes:
            runs = [run for run in self.runs if run.scene == scene]
            of_baseline = [run for run in runs if run.method == self.baseline and self._times_compare(run)]
            if of_baseline:
                chosen = max(of_baseline, key=lambda one: sum(self._times_compare(one, run) for run in of_baseline))
                kept |= {run: self.runs[run] for run in runs if self._times_compare(chosen, run)}
        scenes = tuple(scene for scene in self.scenes if scene in {run.scene for run in kept})
        return replace(self, runs=kept, scenes=scenes)

    def sooner(self, run: Run, reference: str, axis: Axis, target: float | None = None) -> Between | None:
        """How many times sooner a run reaches a PSNR (default: the reference's last) than the reference's run."""
        if not self.comparable(run, reference, axis):
            return None
        theirs = self.curve(run._replace(method=reference), axis)
        return speed_up(theirs, self.curve(run, axis), theirs.psnr[-1] if target is None else target)

    def gain(self, run: Run) -> Between | None:
        """PSNR minus the baseline's, after the baseline's whole time, dB."""
        if not self.comparable(run, self.baseline, self.clock):
            return None
        theirs = self.curve(run._replace(method=self.baseline), self.clock)
        reached = psnr_at(self.curve(run, self.clock), theirs.times[-1])
        return None if reached is None else exactly(reached - theirs.psnr[-1])

    def overhead(self, run: Run) -> Between | None:
        """Time per step as a multiple of the baseline's with the same seed."""
        if not self.comparable(run, self.baseline, self.clock):
            return None
        return exactly(self._pace(self.runs[run]) / self._pace(self.runs[run._replace(method=self.baseline)]))

    def _pace(self, measured: list[Measurement]) -> float:
        return getattr(measured[-1], self.clock) / measured[-1].step

    def seed_range(self, scenes: Sequence[str], method: str, column: Column) -> SeedRange | None:
        """A number's median and range over seeds. A seed without a finished reference counts, but has no number."""
        per_seed, seeds = [], self.seeds(scenes, method)
        for seed in seeds:
            numbers = [column.number(Run(scene, method, seed)) for scene in scenes]
            if None not in numbers:
                per_seed.append(mean([n for n in numbers if n is not None], geometric=column.ratio))
        return seed_range(per_seed, len(seeds))


@dataclass(frozen=True)
class Column:
    """A number of each run, and its format."""

    title: str
    number: Callable[[Run], Between | None]
    form: str = ".2f"
    ratio: bool = False


def unit_of(seconds: float) -> tuple[float, str]:
    """A readable unit for a time of this size, in seconds, and its name."""
    return (3600, "h") if seconds > 7200 else (60, "min") if seconds > 600 else (1, "s")
