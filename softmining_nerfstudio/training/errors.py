"""Mistakes that a user can fix, and how the command line shows them: in one line, without a traceback."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


class UserError(ValueError):
    """A mistake in the data or the command. The message names the path or option and says what was expected."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is not there."""


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Turn a `UserError` into one line on stderr and exit code 1. Any other error keeps its traceback.

    Raises:
        SystemExit: in place of a `UserError`.
    """
    try:
        yield
    except UserError as error:
        print(f"Error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        raise SystemExit(1) from error
