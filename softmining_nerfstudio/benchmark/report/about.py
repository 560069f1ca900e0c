"""What a report says beside its tables: what was run, where and how, and what the numbers mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from softmining_nerfstudio.benchmark.report.study import AXIS_NAMES, Study

CLOCK_NOTE = (
    "Clocks stand still during evaluation. Set-up is not on them; a run that was interrupted sets up again. CPU time "
    "is that of the training process: worker processes, which load the data of some stock methods, are not in it."
)
NOTES = (
    "Speed-up: how many times sooner a run is at a PSNR for good, from its last upward crossing on and linear between "
    "measurements, than the run it is compared with.",
    '"< x": not reached within the run, so at most x. "> x": reached, but not by what it is compared with, so at least '
    'x. "x..y": only known to lie between these. "2 of 3": known in so many of the finished seeds; in the others it '
    "was not reached, or what it is compared with has not finished. Nothing is extrapolated.",
    "Gain at equal time: PSNR ahead of the baseline after the time that the baseline took in all. "
    "Time per step: as a multiple of the baseline's.",
    "A mean over scenes is taken seed by seed, of the methods that finished all scenes; of ratios, the geometric one.",
)


def about(record: dict[str, Any], study: Study) -> list[str]:
    """What was run, where and how; one sentence a line."""
    suite, seeds = record["suite"], record["suite"]["seeds"]
    return [
        f"{suite.get('title') or 'Benchmark'}: {suite['steps']} steps, {len(seeds)} seeds "
        f"({', '.join(map(str, seeds))}), {len(study.runs)} finished runs; baseline {study.baseline}; "
        f"time is {AXIS_NAMES[study.clock]}.",
        *(["Fewer than three seeds: the range says little."] if len(seeds) < 3 else []),
        *_sessions(record["sessions"]),
    ]


def _sessions(sessions: Sequence[dict[str, Any]]) -> list[str]:
    """Machine, command and data of the first session, and of each later one what differs from the one before it."""
    lines: list[str] = []
    machine, before = {}, {}
    for number, session in enumerate(sessions, 1):
        label = f"Session {number}: " if len(sessions) > 1 else ""
        now = {key: value for key, value in (session.get("environment") or {}).items() if value is not None}
        changed = [f"{key} {value}" for key, value in now.items() if machine.get(key) != value]
        changed += [f"no {key}" for key in machine.keys() - now.keys()]
        lines += [f"{label}Measured with {', '.join(changed)}."] if changed else []
        for key in ("command", "data"):
            if session.get(key) != before.get(key):
                lines.append(f"{label}{key.capitalize()}: {session.get(key)}")
        machine, before = now, session
    return lines


def notes(record: dict[str, Any]) -> list[str]:
    """What the numbers mean."""
    suite, jobs = record["suite"], max(map(_jobs, record["sessions"]), default=1)
    pixels = f"about {suite['eval_pixels']}" if "eval_pixels" in suite else "the"
    count = suite.get("final_views")
    views = {None: "whole", 0: "all"}.get(count, f"{count} whole")
    together = (
        f"Up to {jobs} runs were trained at the same time (--jobs {jobs}) and disturbed each other's wall-clock; CPU "
        "time (--clock cpu) is less disturbed."
    )
    return [
        "Medians over seeds (least to most). Each run is compared with the baseline's run of the same seed.",
        CLOCK_NOTE,
        *([together] if jobs > 1 else []),
        f"PSNR after so many steps, and what is derived from it (speed-up, gain), is that of {pixels} held-out pixels "
        f"of all views, pooled. Final PSNR, SSIM and LPIPS are means over {views} held-out views"
        f"{' (all, where there are fewer)' if count else ''}, so that the two PSNRs differ.",
        *NOTES,
    ]


def _jobs(session: dict[str, Any]) -> int:
    """How many runs a session trained at the same time."""
    return (session.get("environment") or {}).get("jobs", 1)
