"""The flags of a command."""

from __future__ import annotations


def flag_of(word: str) -> str:
    """The flag that a word of a command begins with, whether its value follows after = or as the next word."""
    return word.partition("=")[0].replace("_", "-")
