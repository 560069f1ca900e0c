"""The command line: `softmining-bench compare | run | report | sampler | images | headroom`."""

from __future__ import annotations

import io
import sys
from pkgutil import resolve_name

import tyro
from rich.console import Console
from rich.markup import escape

from softmining_nerfstudio.benchmark.errors import BenchmarkError, about_file

COMMANDS = {
    "compare": ("run.compare:compare", "train with and without mining on your own data, and report"),
    "run": ("run.command:run", "train and measure the methods of a suite"),
    "report": ("report.command:report", "show tables and plots of the measurements"),
    "sampler": ("sampler_cost:sampler", "measure what the samplers alone cost"),
    "images": ("image_cost:images", "measure what images cost, in memory and on disk, and clear their tiles"),
    "headroom": ("headroom:headroom", "measure how much mining could gain on a scene at most"),
}
"""The function of each command, and what it does. tyro parses its arguments; it returns the exit status (None: 0).

A function is imported when its command is called: nerfstudio takes seconds to import.
"""


def main() -> None:
    """The entry point of `softmining-bench`. Neither Ctrl-C nor an error that the user can fix prints a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may know ASCII only
            stream.reconfigure(errors="backslashreplace")
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in COMMANDS:
        print("usage: softmining-bench COMMAND ...\n")
        print("\n".join(f"  {name:8} {what}" for name, (_, what) in COMMANDS.items()))
        print("\nsoftmining-bench COMMAND --help describes the options of one.")
        sys.exit(0 if command in ("-h", "--help") else 2)
    try:
        function = resolve_name(f"softmining_nerfstudio.benchmark.{COMMANDS[command][0]}")
        words = sys.argv[2:]
        if command == "compare":
            words = resolve_name("softmining_nerfstudio.benchmark.run.compare:set_apart")(words)
        status = tyro.cli(function, prog=f"softmining-bench {command}", args=words)
    except (BenchmarkError, OSError) as raised:
        error = about_file(raised) if isinstance(raised, OSError) else raised
        Console(stderr=True).print(f"[red]{escape(str(error))}[/red]", soft_wrap=True, highlight=False)
        status = 2
    except KeyboardInterrupt:
        status = 130  # as `run.session` has it
    sys.exit(status)


if __name__ == "__main__":
    main()
