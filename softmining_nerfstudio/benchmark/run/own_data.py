"""A suite for a user's own data, without a file: softmining-lite on one scene, with methods chosen by name."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from nerfstudio.engine.trainer import TrainerConfig

from softmining_nerfstudio.benchmark.errors import SuiteError
from softmining_nerfstudio.benchmark.report.study import STOCK
from softmining_nerfstudio.benchmark.run.configuration import parse
from softmining_nerfstudio.benchmark.run.suite import LEAST_BETWEEN, Source, Suite, file_name
from softmining_nerfstudio.benchmark.run.suite_file import LONGEST_NAME, MINUTES
from softmining_nerfstudio.dataparsers.auto import AutoDataParserConfig
from softmining_nerfstudio.mining.recipes import SAMPLING_TYPES
from softmining_nerfstudio.training import parsing
from softmining_nerfstudio.training.objects import SCALE
from softmining_nerfstudio.training.parsing import name_of
from softmining_nerfstudio.training.questions import refuse_questions
from softmining_nerfstudio.training.scene_kinds import Settings, parser_of, settings_for

METHOD, STOCK_METHOD = "softmining-lite", "nerfacto-lite"
BASELINE = "uniform"
METHODS = (*SAMPLING_TYPES, STOCK)
"""The names to choose from: sampling types, and nerfstudio's own training."""
LONGEST_SIDE = 504
"""Pixels. Larger images are shrunk, so that two cores evaluate a view in seconds."""
FRACTIONS = 1 << 10
"""Images are shrunk by a multiple of the inverse."""
MEASUREMENTS, RENDERS = 20, 5
"""Of a run, besides those before its first step."""
COMMAND = "softmining-bench compare"


class Capture(NamedTuple):
    """What the user's data is."""

    name: str
    words: list[str]
    """The words of ns-train that read it."""
    settings: Settings
    """What it asks of METHOD, and so of nerfstudio's own training of the same model."""
    side: int
    """Longer side of the largest image, pixels."""

    @property
    def scale(self) -> float:
        """The factor that shrinks the images to LONGEST_SIDE; 1 if they are no larger. It has few bits: so images and
        cameras get the same size, though nerfstudio multiplies that of cameras in single precision."""
        return min(1.0, LONGEST_SIDE * FRACTIONS // self.side / FRACTIONS)


def look_at(data: Path | None, parser: Sequence[str]) -> Capture:
    """Read the cameras of the data.

    Args:
        data: Its folder.
        parser: The words of its parser; none: it is found by what the folder holds.

    Raises:
        SuiteError: there are none.
    """
    data, parser = _data_of(data, parser)
    if data is None and not parser:
        raise SuiteError("no data is named: add --data DIR, or demo-scene for the built-in scene")
    words = [*([] if data is None else ["--data", str(data.absolute())]), *parser]
    name = (data.absolute() if data else Path(parser[0])).name
    name = name[:LONGEST_NAME] if file_name(name) else "capture"
    try:
        config = parse([METHOD, *words])
        settings = settings_for(config, [METHOD, *words])
        if SCALE in settings:  # for all methods, after the parser's name
            named = config.pipeline.datamanager.dataparser  # type: ignore[attr-defined]
            if isinstance(named, AutoDataParserConfig):
                words = [*(word for word in words if word != name_of(named)), name_of(parser_of(config))]
            words += ["--scale-factor", str(settings[SCALE])]
        return Capture(name, words, settings, _longest_side(config))
    except (FileNotFoundError, ValueError) as error:
        raise SuiteError(f"{name} cannot be compared on: {error}") from error


def _data_of(data: Path | None, parser: Sequence[str]) -> tuple[Path | None, Sequence[str]]:
    """The folder, and the other words, where it is named after the parser, as in `nerfstudio-data --data DIR`."""
    if data is None and "--data" in parser[:-1]:
        place = parser.index("--data")
        return Path(parser[place + 1]), [*parser[:place], *parser[place + 2 :]]
    return data, parser


def _longest_side(config: TrainerConfig) -> int:
    """The longer side of the largest training image, pixels.

    Raises:
        ValueError: the data cannot be read.
    """
    parser = parser_of(config)
    parser.data = config.pipeline.datamanager.data or parser.data
    try:
        with refuse_questions():
            cameras = parser.setup().get_dataparser_outputs(split="train").cameras
    except Exception as error:  # every parser has errors of its own
        parsing.explain(error, parser)
        raise ValueError(str(error) or type(error).__name__) from error
    return int(max(cameras.width.max(), cameras.height.max()))


def suite_of(
    capture: Capture, methods: Sequence[str], steps: int, seeds: Sequence[int], minutes: float | None = None
) -> Suite:
    """The suite of a comparison. Uniform sampling is the baseline, asked for or not.

    Args:
        minutes: that each run takes, in place of steps.

    Raises:
        SuiteError: a method has no such name, or no such length.
    """
    if minutes is not None and not MINUTES.fits([minutes]):
        raise SuiteError(f"--minutes is {minutes:g}; expected a number above 0")
    if minutes is not None and STOCK in methods:
        raise SuiteError(f"--minutes: {STOCK}'s own training lasts for steps; leave out one of both")
    for name in methods:
        if name not in METHODS:
            raise SuiteError(f"--methods has {name!r}. Allowed: {', '.join(METHODS)}")
    arguments = [] if capture.scale == 1 else ["--pipeline.datamanager.camera-res-scale-factor", str(capture.scale)]
    named = dict.fromkeys([BASELINE, *methods])
    if minutes is None:
        every = max(min(LEAST_BETWEEN, steps), steps // MEASUREMENTS)
        renders_every = max(1, steps // every // RENDERS)
    else:
        every, renders_every = max(1, round(60 * minutes / MEASUREMENTS)), MEASUREMENTS // RENDERS
    return Suite(
        Source(Path(COMMAND), ""),
        method=METHOD,
        steps=steps if minutes is None else 0,
        minutes=() if minutes is None else (minutes,),
        methods={name: _words(name, capture.settings, steps) for name in named},
        scenes={capture.name: shlex.join(capture.words)},
        baseline=BASELINE,
        title=f"{', '.join(named)} on {capture.name}",
        arguments=shlex.join(arguments),
        measure_every=every,
        eval_pixels=10000,
        final_views=3,
        render_every=renders_every,
        seeds=tuple(seeds),
    )


def _words(method: str, settings: Settings, steps: int) -> str:
    """The words of a method. nerfstudio's own follows neither the data nor the steps, so it is told."""
    if method != STOCK:
        return f"--sampling-type {method}"
    of_model = {path: value for path, value in settings.items() if path.startswith("model.")}
    options = [(f"--pipeline.{path}".replace("_", "-"), str(value)) for path, value in of_model.items()]
    options += [(f"--optimizers.{group}.scheduler.max-steps", str(steps)) for group in ("fields", "proposal-networks")]
    return shlex.join([STOCK_METHOD, *chain(*options)])
