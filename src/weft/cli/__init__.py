"""The ``weft`` command. Each subcommand is a row of ``COMMANDS``; its module is imported when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from weft.errors import WeftError

COMMANDS = {
    "chat": "talk with a language model; with a prompt, answer it once",
    "generate": "continue a text with a language model",
    "serve": "serve a language model over HTTP: OpenAI's and Anthropic's protocols, and a chat page",
    "quantize": "quantise a language model to 4 or 8 bits, into a new directory",
    "bench": "measure a language model: rates, memory and the use of the device's bandwidth",
    "devices": "list the devices of this machine, and explain which is the default",
    "plan": "show what a saved plan does, also on a machine without its device",
    "tune": "measure the fastest forms of a program's kernels on a device, and keep them for later programs",
    "inspect": "show the contents of a metatensor or safetensors file, or of the shards behind an index",
    "convert": "write a file in another format, into shards or back into a single file",
    "diff": "compare the contents of two files",
}
"""Subcommands with their help lines. ``weft.cli.<name>`` has ``run(arguments) -> int``, and may have
``options(parser)`` and ``FAILED``, the exit status of an error (1 by default)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 1 (or the command's ``FAILED``) for an error, 2 for wrong usage.

    >>> main(["--version"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    SystemExit: 0
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    requested = next((word for word in words if not word.startswith("-")), "")
    parser = argparse.ArgumentParser(prog="weft", description="A tensor stack for WebGPU and the CPU.")
    parser.add_argument("--version", action="version", version=f"weft {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        if name == requested:  # the modules of other commands are not imported
            options = getattr(import_module(f"weft.cli.{name}"), "options", None)
            if options is not None:
                options(command)
    given = parser.parse_args(words)
    module = import_module(f"weft.cli.{given.command}")
    try:
        status = int(module.run(given))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of the output has closed the pipe
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
    r"""Return a text from a file as a single line without control sequences for the terminal.

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
