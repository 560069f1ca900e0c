"""Mistakes that a user can fix. The command line prints them in one line; any other error keeps its traceback."""

from __future__ import annotations

import errno

KINDS = {
    errno.EISDIR: "it is a folder; expected a file",
    errno.EEXIST: "it is a file; expected a folder",  # of mkdir
    errno.ENOTDIR: "it is a file, or lies in one; expected a folder",
}
"""What is said of a file of the wrong kind."""


class BenchmarkError(ValueError):
    """A mistake of the user. The message says what is wrong and what is allowed."""


class SuiteError(BenchmarkError):
    """A suite that cannot run. The message names file, line and allowed values."""


class ClusterError(BenchmarkError):
    """A cluster that cannot train. The message says what it lacks."""


class ResultsError(BenchmarkError):
    """A results folder that the package cannot read or report. The message names the file."""


class NoResultsError(ResultsError):
    """A folder without results."""


def about_file(error: OSError) -> BenchmarkError:
    """The system's refusal of a file, in one line.

    Raises:
        OSError: the error itself, if it names no file.
    """
    if error.filename is None or error.errno is None:
        raise error
    reason = KINDS.get(error.errno) or (error.strerror or type(error).__name__).lower()
    return BenchmarkError(f"cannot use {error.filename}: {reason}")
