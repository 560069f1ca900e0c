"""What a user can mend. The command line says these in one line; any other error keeps its traceback."""


class BenchmarkError(ValueError):
    """Of this package; the message says what is wrong and what is allowed."""


class SuiteError(BenchmarkError):
    """A suite that cannot be run; the message names file, line and what is allowed."""


class ResultsError(BenchmarkError):
    """A results folder that cannot be read or reported; the message names the file."""


class NoResultsError(ResultsError):
    """A folder without results."""
