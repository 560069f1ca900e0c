"""The runs that the sessions of a results folder asked for, by their recorded commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import product
from typing import Any

from softmining_nerfstudio.benchmark.results import Run


def asked_for(record: dict[str, Any]) -> set[Run]:
    """All runs of the suite, less those that every session left out (--only-methods, --only-scenes, --seeds)."""
    suite = record["suite"]
    found: set[Run] = set()
    for session in record["sessions"] or [{}]:
        words = shlex.split(str(session.get("command", "")))
        seeds = [int(word) for word in _values(words, "--seeds") if word.isdigit()] or suite["seeds"]
        scenes = _values(words, "--only-scenes") or suite["scenes"]
        methods = _values(words, "--only-methods") or suite["methods"]
        found |= {Run(*names) for names in product(scenes, methods, seeds)}
    return found


def _values(words: Sequence[str], option: str) -> list[str]:
    """The words after an option, up to the next option."""
    found, inside = [], False
    for word in words:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            inside = name.replace("_", "-") == option
            found += [value] if inside and value else []
        elif inside:
            found.append(word)
    return found
