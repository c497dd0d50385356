"""``weft generate``: continue a text, without the model's chat template."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from weft.cli import answering


def options(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("prompt", nargs="+", help="the text to continue")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object at the end instead of text"
    )
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end before this text; may be repeated"
    )
    answering.options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the continuation and its figures."""
    sampling = replace(answering.sampling(arguments), stop=tuple(arguments.stop))
    engine = answering.load(arguments)
    prompt = answering.text(arguments.prompt)
    if arguments.json:
        answer = engine.generate(prompt, sampling)
        print(
            json.dumps(
                {
                    "text": answer.text,
                    "tokens": answer.tokens,
                    "prompt_tokens": answer.prompt_tokens,
                    "finish_reason": answer.finish_reason,
                    "prompt_seconds": answer.prompt_seconds,
                    "tokens_per_second": answer.tokens_per_second,
                }
            )
        )
        return 0
    print(answering.figures(answering.show(engine.submit(prompt, sampling))))
    return 0
