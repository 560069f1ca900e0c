"""One training run of a suite, and the measurements to make."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from softmining_nerfstudio.benchmark.results import Measurement, Run
from softmining_nerfstudio.benchmark.run.suite import file_name


@dataclass(frozen=True)
class Task:
    """A run of a suite and its measurements; `suite.Suite` describes the fields."""

    scene: str
    method: str
    seed: int
    command: list[str]
    folder: str
    """Folder of the results."""
    steps: int
    measure_every: int
    """In the unit of the length, as every position in the training."""
    eval_pixels: int
    final_views: int
    strip_view: int | None
    render_every: int

    @property
    def run(self) -> Run:
        """The run that it trains."""
        return Run(self.scene, self.method, self.seed)

    @property
    def experiment(self) -> str:
        """nerfstudio's name of it, the same for every seed. `file_name` gives no double dashes."""
        return f"{file_name(self.scene)}--{file_name(self.method)}"

    @property
    def name(self) -> str:
        """Name of the run's files."""
        return f"{self.experiment}-seed-{self.seed}"

    @property
    def minutes(self) -> float | None:
        """The minutes that it trains for, if its command says so, in place of the steps."""
        given = dict(pairwise(self.command)).get("--minutes")
        return None if given is None else float(given)

    @property
    def length(self) -> float:
        """Of the training: steps, or seconds if it trains for minutes."""
        return self.steps if self.minutes is None else 60 * self.minutes

    def done(self, measurement: Measurement) -> float:
        """How much of the length a measurement has."""
        return measurement.step if self.minutes is None else min(measurement.seconds, self.length)

    def number(self, position: float) -> int:
        """The number of the measurement that was due last at this position; the one before the first step is 0.

        One more is made after the last step.
        """
        return int(position // self.measure_every)

    def is_shown(self, number: int, last: bool = False) -> bool:
        """Whether to render the strip's view at this measurement."""
        return (number % self.render_every == 0 or last) and self.strip_view is not None
