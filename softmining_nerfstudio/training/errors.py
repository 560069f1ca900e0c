"""Mistakes that a user can mend."""


class UserError(SystemExit, ValueError):
    """A mistake in the data, the command or the machine. The message names what was found and what was expected.

    Whoever does not catch it ends with its message alone, without a traceback, in every `ns-*` command. Of several
    processes, torch adds the traceback of the one that raised it.
    """
