"""Which device trained which runs. Steps compare everywhere, times only on one device."""

from __future__ import annotations

from collections.abc import Sequence

from softmining_nerfstudio.benchmark.report.study import Study
from softmining_nerfstudio.benchmark.results import Measurement

TIMES_NOTE = (
    "Times of different devices, or with other numbers of threads, are not compared. A run whose reference trained on "
    "another one has no number there, and the plots over time and the renders at equal time show the device with most "
    "runs of the baseline."
)
MIXED_NOTE = (
    "A faster device trains more steps in the same seconds, so medians and lines over several devices mix them. Each "
    "gain is that of two runs on one device."
)

UNNAMED = "A device that the measurements do not name"


def device_of(measured: Sequence[Measurement]) -> str | None:
    """The device of a run, or all of them in order; None where the measurements do not tell."""
    return ", then ".join(dict.fromkeys(m.device for m in measured if m.device is not None)) or None


def who_ran_what(study: Study, note: str = TIMES_NOTE) -> list[str]:
    """A line for each device, its scenes, seeds and methods, and a note if there are several.

    Nothing where no measurement tells.
    """
    found: dict[str, dict[tuple[str, int], list[str]]] = {}
    several = len({m.threads for measured in study.runs.values() for m in measured} - {None}) > 1
    for run, measured in study.runs.items():
        device = device_of(measured) or UNNAMED
        if several and (threads := measured[-1].threads) is not None:
            device += f" with {threads} thread{'s' * (threads != 1)}"
        found.setdefault(device, {}).setdefault((run.scene, run.seed), []).append(run.method)
    if len(found) < 2:
        return [f"{device} trained all of them." for device in found if device != UNNAMED]
    lines = []
    for device, groups in found.items():
        parts = [f"{scene}, seed {seed} ({_named(study, names)})" for (scene, seed), names in groups.items()]
        lines.append(f"{device} trained {'; '.join(parts)}.")
    return [*lines, note]


def _named(study: Study, methods: Sequence[str]) -> str:
    return "all methods" if {*methods} == {*study.methods} else ", ".join(methods)
