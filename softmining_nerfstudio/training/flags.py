"""The flags of a command."""

from __future__ import annotations

from collections.abc import Sequence

from softmining_nerfstudio.training.errors import UserError

_LENGTHS = {"--minutes", "--max-num-iterations"}
_FILE = "--load-config"


def flag_of(word: str) -> str:
    """The flag that a word of a command begins with, whether its value follows after = or as the next word."""
    return word.partition("=")[0].replace("_", "-")


def require_consistent(words: Sequence[str]) -> None:
    """Check that no flag of a command is without effect because of another one.

    Raises:
        UserError: if two lengths are named, or a configuration file and options.
    """
    flags = {flag_of(word): None for word in words if word.startswith("--")}
    if _LENGTHS <= flags.keys():
        raise UserError("--minutes and --max-num-iterations are two lengths of one training; expected one of them")
    if _FILE in flags and (others := ", ".join(flag for flag in flags if flag != _FILE)):
        raise UserError(f"{_FILE} takes the place of all options: leave out {others}, or set them in that file")
