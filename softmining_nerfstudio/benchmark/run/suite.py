"""Which scenes, methods and seeds are compared: a TOML file of `configs/`, one line per method and per scene.

The command of a run is `ns-train METHOD <arguments> <method's words> <scene's words>`. Words are split as a shell does;
`{data}` in them is the folder given on the command line. If the first word of a method is no option, it is another
method of ns-train's, in place of the suite's.
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
"""Steps between measurements: one takes as long as some steps."""


@dataclass(frozen=True)
class Source:
    """The text that a suite was read from."""

    path: Path
    text: str

    def where(self, key: str, table: str = "") -> str:
        """File and line of a key, for messages; the file alone where the key is written in an unusual way."""
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
    """Of ns-train."""
    steps: int
    """Training steps of a run."""
    methods: dict[str, str]
    """What is compared: words of the command, by name."""
    scenes: dict[str, str]
    """On what: words of the command, by name."""
    baseline: str
    """The method that the others are compared with."""
    title: str = ""
    arguments: str = ""
    """Words of all commands."""
    measure_every: int = 100
    """Steps between measurements; there is one before the first and one after the last step, too."""
    eval_pixels: int = 20000
    """Held-out pixels that a measurement's PSNR is of: drawn once from all held-out views, the same for all runs."""
    final_views: int = 10
    """Whole held-out views, evenly spaced, of which PSNR, SSIM and LPIPS are taken at the end; 0: all."""
    strip_view: int = 0
    """The held-out view that is rendered at measurements of the first seed."""
    render_every: int = 1
    """Measurements between two renders."""
    seeds: tuple[int, ...] = (1, 2, 3)
    tuned_baseline: str | None = None
    """The baseline at its best, where the suite has one."""

    def with_steps(self, steps: int) -> Suite:
        """The suite for another number of steps, measured as many times, but not more often than a measurement pays."""
        every = round(self.measure_every * steps / self.steps)
        return replace(self, steps=steps, measure_every=max(every, min(LEAST_BETWEEN, self.measure_every)))

    def runs(self, methods: Collection[str], scenes: Collection[str], seeds: Collection[int]) -> list[Run]:
        """The chosen runs; the methods of a scene and seed come one after the other, to be compared side by side.

        Each seed begins with another method, lest a machine that slows down is always to the cost of the same ones.
        """
        in_order = [name for name in self.methods if name in methods]
        stride = max(1, len(in_order) // max(1, len(seeds)))
        runs = []
        for place, seed in enumerate(seeds):
            first = place * stride % max(1, len(in_order))
            rotated = in_order[first:] + in_order[:first]
            runs += [Run(scene, method, seed) for scene in self.scenes if scene in scenes for method in rotated]
        return runs

    def command(self, method: str, scene: str, data: Path | None) -> list[str]:
        """What would be typed after ns-train."""
        words = shlex.split(self.methods[method])
        name = words.pop(0) if words and not words[0].startswith("-") else self.method
        words = [name, *shlex.split(self.arguments), *words, *shlex.split(self.scenes[scene])]
        return [word.replace(DATA, str(data)) for word in words]

    def require_scenes(self, scenes: Collection[str], data: Path | None) -> None:
        """Look whether the files that the scenes name are there.

        Raises:
            SuiteError: if one is not.
        """
        for scene in scenes:
            where = self.source.where(scene, "scenes")
            for word in shlex.split(self.scenes[scene]):
                if DATA in word and data is None:
                    raise SuiteError(f"{where}: the scene {scene!r} needs the folder of the data: add --data DIR")
                if DATA in word and not (path := Path(word.replace(DATA, str(data)))).exists():
                    raise SuiteError(f"{where}: there is no {path} for the scene {scene!r}. {_holds(path.parent)}")

    def as_json(self) -> dict[str, Any]:
        """The settings, in JSON's types."""
        settings = asdict(self) | {"seeds": list(self.seeds)}
        del settings["source"]
        return settings


def file_name(name: str) -> str:
    """A method's or scene's name as a part of file names."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


def _holds(folder: Path) -> str:
    if not folder.is_dir():
        return f"Expected a folder {folder} that holds it."
    return f"{folder} holds: {', '.join(sorted(path.name for path in folder.iterdir())[:20]) or 'nothing'}"
