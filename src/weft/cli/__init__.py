"""The ``weft`` command. Each subcommand is a row of ``COMMANDS``; its code is loaded when it is called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from weft.errors import WeftError

COMMANDS = {
    "devices": "list the devices of this machine, which is the default and why",
    "plan": "show what a saved plan does, on a machine without its device too",
    "tune": "measure which forms of a program's kernels are fastest on a device, and keep that",
}
"""Subcommand and help line; ``weft.cli.<name>`` has ``run(arguments) -> int``, and may have ``options(parser)``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit status: 1 where weft raises an error, 2 for wrong usage.

    >>> main(["--version"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    SystemExit: 0
    """
    parser = argparse.ArgumentParser(prog="weft", description="A tensor stack for WebGPU and the CPU.")
    parser.add_argument("--version", action="version", version=f"weft {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, summary in COMMANDS.items():
        own = commands.add_parser(name, help=summary, description=summary)
        options = getattr(import_module(f"weft.cli.{name}"), "options", None)
        if options is not None:
            options(own)
    given = parser.parse_args(arguments)
    try:
        return int(import_module(f"weft.cli.{given.command}").run(given))
    except WeftError as error:
        print(f"weft {given.command}: {error}", file=sys.stderr)
        return 1


def _version() -> str:
    try:
        return version("weft")
    except PackageNotFoundError:
        return "(not installed)"
