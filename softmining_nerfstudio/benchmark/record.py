"""`suite.json` in a results folder: what was asked for, and the sessions in which it was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from softmining_nerfstudio.benchmark.errors import ResultsError

FILE_NAME = "suite.json"
SESSION = ("command", "data", "environment")
"""What is known of a session. Older files have these of their only session beside the suite."""
REQUIRED = ("steps", "methods", "scenes", "seeds", "baseline")
"""Settings of a suite without which nothing can be reported."""


def read(folder: Path) -> dict[str, Any] | None:
    """A dictionary of `suite`, settings by name, and `sessions`, a list; None if there is no such file.

    Raises:
        ResultsError: if the file is damaged.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        absent = [key for key in REQUIRED if key not in record["suite"].keys()]
        if absent:
            raise ValueError(f"no {absent[0]} in its suite")
        if "sessions" not in record:
            only = {key: record.pop(key) for key in SESSION if key in record}
            record["sessions"] = [only] if only else []
        record["sessions"] = [dict(session) for session in record["sessions"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"{path} is damaged ({type(error).__name__}: {error}). Expected what softmining-bench run writes: delete "
            "the file and run the suite again, which keeps what was measured"
        ) from error
    return record


def write(folder: Path, record: dict[str, Any]) -> None:
    """Write the file, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{FILE_NAME}.unfinished"
    unfinished.write_text(json.dumps(record, indent=1), encoding="utf-8")
    unfinished.replace(folder / FILE_NAME)
