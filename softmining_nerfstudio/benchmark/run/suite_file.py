"""Reads and writes the TOML file of a suite. An error names the file, the line and the allowed values."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from softmining_nerfstudio.benchmark.errors import SuiteError
from softmining_nerfstudio.benchmark.run.suite import Source, Suite, file_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


class Kind(NamedTuple):
    """The values that a key accepts."""

    name: str
    fits: Callable[[Any], bool]


WORDS = Kind("a string", lambda value: isinstance(value, str))
COUNT = Kind("a whole number from 1 on", lambda value: _whole(value, 1))
NATURAL = Kind("a whole number from 0 on", lambda value: _whole(value, 0))
TABLE = Kind("a table with at least one line", lambda value: isinstance(value, dict) and len(value) > 0)
SEEDS = Kind(
    "a list of different whole numbers, such as [1, 2, 3]",
    lambda value: (
        isinstance(value, list)
        and all(_whole(s, 0) and s < 2**32 for s in value)  # numpy takes no larger seeds
        and 0 < len(value) == len(set(value))
    ),
)
MINUTES = Kind(
    "a list of different numbers above 0, in increasing order, such as [0.5, 1, 2]",
    lambda value: (
        isinstance(value, list)
        and all(isinstance(m, (int, float)) and not isinstance(m, bool) and 0 < m < float("inf") for m in value)
        and 0 < len(value) == len(set(value))
        and value == sorted(value)
    ),
)
KINDS = {
    **dict.fromkeys(("title", "method", "arguments", "baseline", "tuned_baseline"), WORDS),
    **dict.fromkeys(("steps", "measure_every", "eval_pixels", "render_every"), COUNT),
    **dict.fromkeys(("final_views", "strip_view"), NATURAL),
    "seeds": SEEDS,
    "minutes": MINUTES,
    "methods": TABLE,
    "scenes": TABLE,
}
LONGEST_NAME = 100
"""Characters. A file's name has those of a scene and of a method, and systems allow 255."""
REQUIRED = ("method", "steps", "methods", "scenes", "baseline")


def load(path: Path) -> Suite:
    """Read a suite.

    Raises:
        SuiteError: the file is missing or is no suite.
    """
    try:
        source = Source(path, path.read_text(encoding="utf-8"))
        settings: dict[str, Any] = tomllib.loads(source.text)
    except OSError as error:
        raise SuiteError(
            f"cannot read the suite {path}: {error.strerror}. Expected a TOML file as in configs/"
        ) from error
    except ValueError as error:  # of TOML or UTF-8
        raise SuiteError(f"{path} is not TOML: {error}") from error
    for key, value in settings.items():
        if key not in KINDS:
            raise SuiteError(f"{source.where(key)}: unknown key {key!r}. Allowed: {', '.join(KINDS)}")
        if not KINDS[key].fits(value):
            raise SuiteError(f"{source.where(key)}: {key} is {value!r}; expected {KINDS[key].name}")
    if "minutes" in settings:
        if "steps" in settings:
            raise SuiteError(f"{source.where('steps')}: a suite has steps or minutes, not both")
        settings["steps"] = 0
    missing = [key for key in REQUIRED if key not in settings]
    if missing:
        raise SuiteError(f"{path}: no {missing[0]}; expected {missing[0]} = {KINDS[missing[0]].name}")
    _require_words(source, settings)
    for key in {"baseline", "tuned_baseline"} & set(settings):
        if settings[key] not in settings["methods"]:
            allowed = ", ".join(settings["methods"])
            raise SuiteError(f"{source.where(key)}: {key} is {settings[key]!r}, not a method. Allowed: {allowed}")
    settings["seeds"] = tuple(settings.get("seeds", Suite.seeds))
    settings["minutes"] = tuple(settings.get("minutes", ()))
    return Suite(source, **settings)


def dump(suite: Suite) -> str:
    """The text of a suite's file, without the settings that are the default."""
    tables = {"methods": suite.methods, "scenes": suite.scenes}
    lines = [
        f"{key} = {_toml(value)}"
        for key, value in suite.as_json().items()
        if key not in tables and value is not None and (key in REQUIRED or value != getattr(Suite, key, None))
    ]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{_toml(key)} = {_toml(words)}" for key, words in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A string, number or list of numbers. TOML escapes as JSON does, and one character besides."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _require_words(source: Source, settings: dict[str, Any]) -> None:
    """Check that a shell could split every line of the tables, and that no two names give the same file name."""
    for table in ("methods", "scenes"):
        files: dict[str, str] = {}
        for name, words in settings[table].items():
            where = source.where(name, table)
            _require_split(where, name, words)
            if other := files.get(file_name(name)):
                raise SuiteError(f"{where}: {name!r} and {other!r} have the same file name; expected another name")
            files[file_name(name)] = name
    _require_split(source.where("arguments"), "arguments", settings.get("arguments", ""))


def _require_split(where: str, name: str, words: Any) -> None:
    expected = 'a string of words that follow ns-train, such as "--sampling-type uniform"'
    if len(file_name(name)) > LONGEST_NAME:
        raise SuiteError(f"{where}: a name has {len(name)} characters; expected at most {LONGEST_NAME}, for file names")
    if not isinstance(words, str) or not file_name(name):
        raise SuiteError(f"{where}: {name!r} is {words!r}; expected {expected}")
    try:
        shlex.split(words)
    except ValueError as error:
        raise SuiteError(f"{where}: {name!r} cannot be split into words ({error}); expected {expected}") from error
