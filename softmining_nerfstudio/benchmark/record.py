"""`suite.json` in a results folder: the settings of the suite, and the sessions that trained it."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from softmining_nerfstudio.benchmark.errors import ResultsError
from softmining_nerfstudio.benchmark.results import Run
from softmining_nerfstudio.benchmark.run.suite_file import KINDS

FILE_NAME = "suite.json"
REQUIRED = ("steps", "methods", "scenes", "seeds", "baseline")
"""Settings that a report needs."""
ASKED = {"scenes": "scene", "methods": "method", "seeds": "seed"}
"""What a session asks for, every seed for every method on every scene, and the fields of a `Run`."""


def read(folder: Path) -> dict[str, Any] | None:
    """A dictionary of `suite`, settings by name, and `sessions`, a list of command, data, environment and ASKED.

    None if there is no such file.

    Raises:
        ResultsError: the file is damaged.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        absent = [key for key in REQUIRED if key not in record["suite"].keys()]
        if absent:
            raise ValueError(f"no {absent[0]} in its suite")
        for key, value in record["suite"].items():
            if key in KINDS and value is not None and not KINDS[key].fits(value):
                raise ValueError(f"{key} is {value!r}; expected {KINDS[key].name}")
        record["sessions"] = [dict(session) for session in record["sessions"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"{path} is damaged ({type(error).__name__}: {error}). Delete it and run the suite again: "
            "softmining-bench run writes a new one and keeps the measurements"
        ) from error
    return record


def asked_for(record: dict[str, Any]) -> set[Run]:
    """All runs that a session asked for; sessions of earlier versions do not tell."""
    told = [session["asked"] for session in record["sessions"] if "asked" in session]
    return {Run(*names) for asked in told for names in product(*(asked[name] for name in ASKED))}


def write(folder: Path, record: dict[str, Any]) -> None:
    """Write the file, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{FILE_NAME}.unfinished"
    unfinished.write_text(json.dumps(record, indent=1), encoding="utf-8")
    unfinished.replace(folder / FILE_NAME)
