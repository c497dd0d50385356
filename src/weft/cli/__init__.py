"""The ``weft`` command. Each subcommand is a row of ``COMMANDS``; its code is loaded when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from weft.errors import WeftError

COMMANDS = {
    "devices": "list the devices of this machine, which is the default and why",
    "plan": "show what a saved plan does, on a machine without its device too",
    "tune": "measure which forms of a program's kernels are fastest on a device, and keep that",
    "inspect": "show what is in a metatensor or safetensors file, or in the shards behind an index",
    "convert": "write a file in another format, into shards or back into one file",
    "diff": "compare what is in two files",
}
"""Subcommand and help line; ``weft.cli.<name>`` has ``run(arguments) -> int``, and may have ``options(parser)`` and
``FAILED``, the exit status of an error (1 unless it says another)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit status: 1 (or the command's own) for an error, 2 for wrong usage.

    >>> main(["--version"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    SystemExit: 0
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    asked = next((word for word in words if not word.startswith("-")), "")
    parser = argparse.ArgumentParser(prog="weft", description="A tensor stack for WebGPU and the CPU.")
    parser.add_argument("--version", action="version", version=f"weft {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, summary in COMMANDS.items():
        own = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        if name == asked:  # the code of the others is not loaded
            options = getattr(import_module(f"weft.cli.{name}"), "options", None)
            if options is not None:
                options(own)
    given = parser.parse_args(words)
    module = import_module(f"weft.cli.{given.command}")
    try:
        status = int(module.run(given))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except WeftError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.strerror}: {error.filename!r}" if error.filename is not None else str(error)
    message = printable(message.removeprefix(f"{given.command}: "))
    print(f"weft {given.command}: {message}", file=sys.stderr)
    return int(getattr(module, "FAILED", 1))


def printable(text: str) -> str:
    r"""A text from a file as one line that does nothing to a terminal.

    >>> print(printable("one\n\x1b[31mtwo é"))
    one\n\x1b[31mtwo é
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def _version() -> str:
    try:
        return version("weft")
    except PackageNotFoundError:
        return "(not installed)"
