"""Mistakes that a user can fix. The command line prints them in one line; any other error keeps its traceback."""


class BenchmarkError(ValueError):
    """A mistake of the user. The message says what is wrong and what is allowed."""


class SuiteError(BenchmarkError):
    """A suite that cannot run. The message names file, line and allowed values."""


class ResultsError(BenchmarkError):
    """A results folder that the package cannot read or report. The message names the file."""


class NoResultsError(ResultsError):
    """A folder without results."""
