"""The notes of a report: settings, machine and command of the runs, and the meaning of the numbers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from softmining_nerfstudio.benchmark.report.devices import MIXED_NOTE, TIMES_NOTE, who_ran_what
from softmining_nerfstudio.benchmark.report.reading import ResultsFolder, without_budget
from softmining_nerfstudio.benchmark.report.study import AXIS_NAMES, Study

STILL_NOTE = "Clocks stand still during set-up and evaluation."
CPU_NOTE = (
    "CPU time is that of the training process; it leaves out the worker processes that load the data of some stock "
    "methods."
)
NOTES = (
    "Speed-up: how many times sooner a run reaches a PSNR for good than its reference. The last upward crossing "
    "counts, with straight lines between measurements.",
    '"< x": the run did not reach the PSNR, so at most x. "> x": the reference did not reach it, so at least x. '
    '"x..y": between x and y. "2 of 3": finished seeds with a known number; the others did not reach the PSNR, or '
    "their reference has not finished or trained on another device or with other threads. Nothing is extrapolated.",
    "Gain at equal time: PSNR minus the baseline's, after the baseline's whole time. "
    "Time per step: a multiple of the baseline's. Memory: the most that torch held on the GPU, without tiny-cuda-nn's "
    "own, or that the process held on a processor.",
)
SCENES_NOTE = "Means over scenes: seed by seed, for methods that finished all scenes; geometric for ratios."
BUDGETS_NOTES = (
    "Medians over seeds (least to most). Each run is compared with the baseline's of the same seed and budget.",
    '"2 of 3": finished seeds with a number. The baseline of the others has not finished, or trained on another '
    "device or with other threads.",
)


def about(found: ResultsFolder) -> list[str]:
    """Settings, machine and command of the runs, one sentence a line."""
    study, suite, seeds = found.study, found.record["suite"], found.record["suite"]["seeds"]
    runs = f"{len(study.runs)} finished run{'s' if len(study.runs) > 1 else ''}"
    reference = f"the reference is {study.baseline}{_stock(suite, study)}; time is {AXIS_NAMES[study.clock]}"
    if found.budgets:
        reference = f"the reference is {without_budget(study.baseline)}"
    return [
        f"{suite.get('title') or 'Benchmark'}: {_length(suite)}, {'seeds' if len(seeds) > 1 else 'seed'} "
        f"{', '.join(map(str, seeds))}, {runs}; {reference}.",
        *(["Fewer than three seeds: the range says little."] if len(seeds) < 3 else []),
        *_sessions(found.record["sessions"]),
        *who_ran_what(study, MIXED_NOTE if found.budgets else TIMES_NOTE),
    ]


def _stock(suite: dict[str, Any], study: Study) -> str:
    """The second reference, if there is one: it has nerfstudio's own encoding and optimizer."""
    if study.stock is None:
        return ""
    method = next(iter(shlex.split(suite["methods"][study.stock])), suite.get("method", ""))
    return f", and {study.stock} is {method} as nerfstudio trains it"


def _sessions(sessions: Sequence[dict[str, Any]]) -> list[str]:
    """Machine, command and data of the first session, and the changes in each later one."""
    lines: list[str] = []
    machine, before = {}, {}
    for number, session in enumerate(sessions, 1):
        label = f"Session {number}: " if len(sessions) > 1 else ""
        now = {key: value for key, value in (session.get("environment") or {}).items() if value is not None}
        changed = [f"{key} {value}" for key, value in now.items() if machine.get(key) != value]
        changed += [f"no {key}" for key in machine if key not in now]
        lines += [f"{label}Measured with {', '.join(changed)}."] if changed else []
        for key in ("command", "data"):
            if session.get(key) != before.get(key):
                lines.append(f"{label}{key.capitalize()}: {session.get(key)}")
        machine, before = now, session
    return lines


def notes(found: ResultsFolder) -> list[str]:
    """The meaning of the numbers."""
    suite, jobs = found.record["suite"], max(map(_jobs, found.record["sessions"]), default=1)
    less = "" if found.budgets else ", and CPU time (--clock cpu) less"
    together = (
        f"Up to {jobs} runs trained at the same time (--jobs {jobs}) and disturbed each other's wall-clock{less}. "
        "Those on different GPUs share no more than the cores."
    )
    shared = [together] if jobs > 1 else []
    if found.budgets:
        return [*BUDGETS_NOTES, STILL_NOTE, *shared, f"Final PSNR is a mean over {_views(suite)}."]
    pixels = f"about {suite['eval_pixels']}" if "eval_pixels" in suite else "the"
    return [
        "Medians over seeds (least to most). Each run is compared with the baseline's run of the same seed.",
        f"{STILL_NOTE} {CPU_NOTE}",
        *shared,
        f"PSNR after a number of steps, speed-up and gain come from {pixels} held-out pixels of all views, pooled. "
        f"Final PSNR, SSIM and LPIPS are means over {_views(suite)}; so the two PSNRs differ.",
        *NOTES,
        *([SCENES_NOTE] if len(found.study.scenes) > 1 else []),
    ]


def _views(suite: dict[str, Any]) -> str:
    """The held-out views of the final metrics."""
    count = suite.get("final_views")
    views = {None: "whole", 0: "all"}.get(count, f"{count} whole")
    return f"{views} held-out views{' (all, where there are fewer)' if count else ''}"


def _jobs(session: dict[str, Any]) -> int:
    """How many runs a session trained at the same time."""
    return (session.get("environment") or {}).get("jobs", 1)


def _length(suite: dict[str, Any]) -> str:
    """How long the runs of a suite are."""
    if minutes := suite.get("minutes"):
        return f"runs of {', '.join(f'{60 * budget:g}' for budget in minutes)} seconds"
    return f"{suite['steps']} steps"
