"""``weft chat``: talk with a language model in the terminal; with a prompt, answer it once and end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress

from weft.cli import answering
from weft.errors import ArgumentError


def options(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "prompt", nargs="*", help="a question to answer once; without it questions are read line by line"
    )
    parser.add_argument("--system", metavar="TEXT", help="the system message")
    answering.options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Answer the prompt, or line after line until the end of the input."""
    sampling = answering.sampling(arguments)
    engine = answering.load(arguments)
    messages = [{"role": "system", "content": arguments.system}] if arguments.system else []
    for question in [answering.text(arguments.prompt)] if arguments.prompt else _lines():
        messages.append({"role": "user", "content": question})
        try:
            answer = answering.show(engine.submit_chat(messages, sampling))
        except KeyboardInterrupt:
            print("\n(stopped)", file=sys.stderr)
            messages.pop()
            if arguments.prompt:
                return 130
            continue
        except ArgumentError as error:
            if arguments.prompt:
                raise
            print(f"weft chat: {error}", file=sys.stderr)
            messages.pop()
            continue
        content = answer.text if answer.message is None else answer.message.content
        messages.append({"role": "assistant", "content": content})
        print(answering.figures(answer))
    return 0


def _lines() -> Iterator[str]:
    """The user's lines, without empty ones; a prompt is shown where somebody types."""
    watched = sys.stdin.isatty()
    if watched:
        with suppress(ImportError):  # absent on Windows, whose terminal has its own editing
            import readline  # noqa: F401 - gives input() editing and history
        print("Ctrl-D ends, Ctrl-C stops an answer.")
    while True:
        try:
            line = input("> " if watched else "").strip()
        except (EOFError, KeyboardInterrupt):
            if watched:
                print()
            return
        if line:
            yield line
