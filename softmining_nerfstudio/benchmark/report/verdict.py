"""The verdict of a report: for each scene, a sentence on how the miner compares with each reference."""

from __future__ import annotations

import math

from softmining_nerfstudio.benchmark.report.speedup import Between, SeedRange, exactly
from softmining_nerfstudio.benchmark.report.study import Axis, Column, Study
from softmining_nerfstudio.benchmark.results import Run

TIMES: dict[Axis, str] = {"seconds": "time", "cpu_seconds": "CPU time"}
SOONER, LATER = " times sooner", " times later"
BETWEEN, EQUALLY = "between ", "equally soon"


def verdicts(study: Study) -> list[str]:
    """A line for each scene: the miner against the baseline, and against nerfstudio's own row where there is one.

    Without a miner it is the baseline that meets nerfstudio's row.
    """
    lines, miner = [], study.miner or study.baseline
    for scene in study.scenes:
        found = [_against(study, miner, scene, reference) for reference in (study.baseline, study.stock)]
        told = [sentence for sentence in found if sentence]
        subjects = [f"On {scene} {miner}", "It"]
        lines.append(" ".join(f"{subject} {said}." for subject, said in zip(subjects, told, strict=False)))
    return [line for line in lines if line]


def _against(study: Study, miner: str, scene: str, reference: str | None) -> str:
    """How a method compares with a reference, by medians over seeds; nothing if they share no finished seed."""
    if reference in (None, miner):
        return ""

    def sooner(axis: Axis) -> Column:
        return Column("", lambda run: study.sooner(run, reference, axis), ratio=True)

    columns = sooner("step"), sooner(study.clock), Column("", lambda run: _final_gain(study, run, reference))
    steps, time, gain = (study.seed_range([scene], miner, column) for column in columns)
    if steps is None:
        return ""
    if _reached(steps):
        in_time = _in_time(steps, time, TIMES[study.clock])
        how = f"reached {reference}'s final PSNR {worded(steps.median)} in steps{in_time}"
        seeds = _share(steps.known, steps.compared)
    else:
        missed = f" in {_share(steps.compared - steps.known, steps.compared)}" if steps.known else ""
        how = f"did not reach {reference}'s final PSNR{missed}"
        seeds = "" if steps.known else _share(steps.compared, steps.compared)
    parts = [how, f"final {gain.median.low:+.1f} dB{_fewer(gain, steps)}" if gain else "", seeds]
    return "; ".join(filter(None, parts)) + _without_reference(steps.seeds - steps.compared)


def _share(some: int, seeds: int) -> str:
    """Some of the seeds, or all."""
    return f"{f'{some} of ' if some < seeds else ''}{seeds} seed{'s' if seeds > 1 else ''}"


def _without_reference(seeds: int) -> str:
    return f" ({seeds} more {'has' if seeds == 1 else 'have'} no finished reference)" if seeds else ""


def _reached(numbers: SeedRange) -> bool:
    """Whether the median seed reached the PSNR. It may be known to be 0: the reference had it before its first step."""
    return numbers.median.known or numbers.median.low > 0


def _in_time(steps: SeedRange, time: SeedRange | None, name: str) -> str:
    """How much sooner in time. Fewer seeds than in steps may compare, and the PSNR be missed in these."""
    if time is None:
        return f"; no {name} compares, as their devices or threads differ"
    if not _reached(time):
        return f", but not where {name}s compare{_fewer(time, steps)}"
    in_steps, said = worded(steps.median), worded(time.median)
    if in_steps == said == EQUALLY:
        return f" and in {name}{_fewer(time, steps)}"
    if in_steps.endswith(SOONER) and BETWEEN not in in_steps + said:
        said = said.removesuffix(SOONER)
    return f", {said} in {name}{_fewer(time, steps)}"


def _fewer(numbers: SeedRange, steps: SeedRange) -> str:
    """The seeds with a number, if they are fewer than those whose steps compare."""
    return f" ({_share(numbers.compared, steps.compared)})" if numbers.compared < steps.compared else ""


def worded(times: Between) -> str:
    """How many times sooner, or later, in words."""
    low, high = map(_factor, times)
    if low == high:
        return low
    if low.endswith(SOONER) and high.endswith(SOONER):
        return f"{low.removesuffix(SOONER)} to {high}"
    return f"{BETWEEN}{low} and {high}"


def _factor(ratio: float) -> str:
    if ratio in (0.0, math.inf):  # one of the two had the PSNR before its first step
        return "sooner" if ratio else "later"
    factor = f"{max(ratio, 1 / ratio):.1f}"
    return EQUALLY if factor == "1.0" else f"{factor}{SOONER if ratio > 1 else LATER}"


def _final_gain(study: Study, run: Run, reference: str) -> Between | None:
    """PSNR of whole views at the end minus the reference's, dB; None if neither steps nor times of the ends compare."""
    if not study.ends_compare(run, reference):
        return None
    ends = [study.runs[run._replace(method=method)][-1] for method in (run.method, reference)]
    mine, theirs = [(end.final or {}).get("psnr") for end in ends]
    return None if mine is None or theirs is None else exactly(mine - theirs)
