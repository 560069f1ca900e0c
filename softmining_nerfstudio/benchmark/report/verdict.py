"""The verdict of a report: for each scene, a sentence on how the miner compares with each reference."""

from __future__ import annotations

import math

from softmining_nerfstudio.benchmark.report.speedup import Between, exactly
from softmining_nerfstudio.benchmark.report.study import Axis, Column, Study
from softmining_nerfstudio.benchmark.results import Run

TIMES: dict[Axis, str] = {"seconds": "time", "cpu_seconds": "CPU time"}
SOONER = " times sooner"


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
    if steps.median.low:
        in_steps = _sooner(steps.median)
        in_time = f"; no {TIMES[study.clock]} compares, as their devices differ"
        if time is not None:
            said = _sooner(time.median)
            said = said.removesuffix(SOONER) if in_steps.endswith(SOONER) else said
            in_time = f", {said} in {TIMES[study.clock]}"
        how = f"reached {reference}'s final PSNR {in_steps} in steps{in_time}"
        seeds = _share(steps.known, steps.compared)
    else:
        missed = f" in {_share(steps.compared - steps.known, steps.compared)}" if steps.known else ""
        how = f"did not reach {reference}'s final PSNR{missed}"
        seeds = "" if steps.known else _share(steps.compared, steps.compared)
    parts = [how, f"final {gain.median.low:+.1f} dB" if gain else "", seeds]
    return "; ".join(filter(None, parts)) + _without_reference(steps.seeds - steps.compared)


def _share(some: int, seeds: int) -> str:
    """Some of the seeds, or all."""
    return f"{f'{some} of ' if some < seeds else ''}{seeds} seed{'s' if seeds > 1 else ''}"


def _without_reference(seeds: int) -> str:
    return f" ({seeds} more {'has' if seeds == 1 else 'have'} no finished reference)" if seeds else ""


def _sooner(times: Between) -> str:
    if times.known:
        return f"{times.low:.1f}{SOONER}" if times.low >= 1 else f"{1 / times.low:.1f} times later"
    if times.high < math.inf:
        return f"{times.low:.1f} to {times.high:.1f}{SOONER}"
    return f"more than {times.low:.1f}{SOONER}"


def _final_gain(study: Study, run: Run, reference: str) -> Between | None:
    """PSNR of whole views at the end minus the reference's, dB; None if neither steps nor times of the ends compare."""
    if not study.ends_compare(run, reference):
        return None
    ends = [study.runs[run._replace(method=method)][-1] for method in (run.method, reference)]
    mine, theirs = [(end.final or {}).get("psnr") for end in ends]
    return None if mine is None or theirs is None else exactly(mine - theirs)
