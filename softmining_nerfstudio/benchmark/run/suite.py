"""The scenes, methods and seeds to compare: a TOML file of `configs/`, one line per method and per scene.

The command of a run is `ns-train METHOD <arguments> <method's words> <scene's words>`. Words are split as in a shell;
`{data}` stands for the folder given on the command line. METHOD may have options that go with it alone. If a method's
first word is no option, it replaces METHOD and these options.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from softmining_nerfstudio.benchmark.errors import SuiteError
from softmining_nerfstudio.benchmark.results import Run

DATA = "{data}"
LEAST_BETWEEN = 10
"""Least steps between measurements: a measurement takes as long as some steps."""


@dataclass(frozen=True)
class Source:
    """The text of a suite."""

    path: Path
    text: str

    def where(self, key: str, table: str = "") -> str:
        """File and line of a key, for messages; the file alone if the key is written in an unusual way."""
        inside = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[\s*([^\]]*?)\s*\]", line):
                inside = header[1]
                if not table and inside == key:
                    return f"{self.path}, line {number}"
            elif inside == table and re.match(rf"\s*([\"']?){re.escape(key)}\1\s*=", line):
                return f"{self.path}, line {number}"
        return str(self.path)


@dataclass(frozen=True)
class Suite:
    """A benchmark: every method on every scene with every seed."""

    source: Source = field(repr=False, compare=False)
    method: str
    """Method of ns-train, and its options."""
    steps: int
    """Training steps of a run; with `minutes` 0."""
    methods: dict[str, str]
    """Words of the command, by the name of the method."""
    scenes: dict[str, str]
    """Words of the command, by the name of the scene."""
    baseline: str
    """The method that the others are compared with."""
    title: str = ""
    arguments: str = ""
    """Words that all commands share."""
    measure_every: int = 100
    """Steps between measurements; with `minutes` seconds. The first comes before training, the last after it."""
    eval_pixels: int = 20000
    """Held-out pixels that a measurement evaluates. They come from all held-out views and are the same for all runs."""
    final_views: int = 10
    """Whole held-out views that give the final PSNR, SSIM and LPIPS, evenly spaced; 0: all."""
    strip_view: int = 0
    """The held-out view that the first seed renders at its measurements."""
    render_every: int = 1
    """Measurements between two renders."""
    seeds: tuple[int, ...] = (1, 2, 3)
    minutes: tuple[float, ...] = ()
    """Budgets, in place of steps: each method trains once for each of them."""
    tuned_baseline: str | None = None
    """The baseline with tuned settings, if the suite has one."""

    def with_steps(self, steps: int) -> Suite:
        """The suite with other training steps and as many measurements, at most one every LEAST_BETWEEN steps.

        Raises:
            SuiteError: its runs last for minutes.
        """
        if self.minutes:
            raise SuiteError(f"{self.source.where('minutes')}: its runs last for minutes; there are no steps to change")
        every = round(self.measure_every * steps / self.steps)
        return replace(self, steps=steps, measure_every=max(every, min(LEAST_BETWEEN, self.measure_every)))

    def with_budgets(self) -> Suite:
        """The suite with each method once for each budget, if it has any; the references train for the longest.

        Names tell the budget if there are several.
        """
        if not self.minutes:
            return self

        def named(method: str, budget: float) -> str:
            return budget_name(method, budget) if len(self.minutes) > 1 else method

        methods = {
            named(name, budget): f"{words} --minutes {budget:g}"
            for name, words in self.methods.items()
            for budget in self.minutes
        }
        longest = self.minutes[-1]
        tuned = self.tuned_baseline and named(self.tuned_baseline, longest)
        return replace(self, methods=methods, baseline=named(self.baseline, longest), tuned_baseline=tuned)

    def runs(self, methods: Collection[str], scenes: Collection[str]) -> list[Run]:
        """The runs of these methods and scenes. Those of a scene and seed follow one another on the same machine.

        Each seed begins with another method, so that a machine that slows down does not always hit the same ones.
        """
        in_order = [name for name in self.methods if name in methods]
        stride = max(1, len(in_order) // len(self.seeds))
        runs = []
        for place, seed in enumerate(self.seeds):
            first = place * stride % max(1, len(in_order))
            rotated = in_order[first:] + in_order[:first]
            runs += [Run(scene, method, seed) for scene in self.scenes if scene in scenes for method in rotated]
        return runs

    def command(self, method: str, scene: str, data: Path | None) -> list[str]:
        """The words after ns-train."""
        words = shlex.split(self.methods[method])
        own = [words.pop(0)] if words and not words[0].startswith("-") else shlex.split(self.method)
        words = [*own, *shlex.split(self.arguments), *words, *shlex.split(self.scenes[scene])]
        return [word.replace(DATA, str(data)) for word in words]

    def require_scenes(self, scenes: Collection[str], data: Path | None) -> None:
        """Check that the files of the scenes exist.

        Raises:
            SuiteError: one is missing, or the folder of the data.
        """
        for scene in scenes:
            where = self.source.where(scene, "scenes")
            for path in map(Path, self.paths(scene, data)):
                if not path.exists():
                    raise SuiteError(f"{where}: there is no {path} for the scene {scene!r}. {_holds(path.parent)}")

    def paths(self, scene: str, data: Path | None) -> list[str]:
        """What a scene reads: the values of --data, and of other options that have the folder of the data in them.

        Raises:
            SuiteError: there is no such folder.
        """
        values, before = [], ""
        for word in shlex.split(self.scenes[scene]):
            option, equals, value = word.partition("=") if word.startswith("--") else (before, "=", word)
            if equals and (option == "--data" or DATA in value):
                values.append(value)
            before = word
        if data is None and any(DATA in value for value in values):
            where = self.source.where(scene, "scenes")
            raise SuiteError(f"{where}: the scene {scene!r} needs the folder of the data: add --data DIR")
        return [value.replace(DATA, str(data)) for value in values]

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON types."""
        settings = asdict(self) | {"seeds": list(self.seeds)}
        settings |= {"steps": self.steps or None, "minutes": list(self.minutes) or None}
        del settings["source"]
        return settings


def budget_name(method: str, minutes: float) -> str:
    """The name of a method that trains for a budget."""
    return f"{method}, {seconds_text(minutes)}"


def seconds_text(minutes: float) -> str:
    """A budget for people."""
    return f"{60 * minutes:g} s"


def file_name(name: str) -> str:
    """The name of a method or scene, fit for a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


def _holds(folder: Path) -> str:
    if not folder.is_dir():
        return f"Expected a folder {folder} that holds it."
    return f"{folder} holds: {', '.join(sorted(path.name for path in folder.iterdir())[:20]) or 'nothing'}"
