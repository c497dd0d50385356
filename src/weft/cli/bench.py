"""``weft bench``: measure a language model: prefill, decode, the first token, memory, and the use of bandwidth."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from weft.cli import answering
from weft.cli.files import size
from weft.engine.measuring import Measured, measure


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    answering.model_options(parser)
    parser.add_argument(
        "--quantize", choices=("int8", "int4"), help="quantise matrices that are floats in the file"
    )
    parser.add_argument(
        "--prompt-tokens", type=int, default=256, metavar="N", help="tokens of the prompt (default: 256)"
    )
    parser.add_argument(
        "--new-tokens", type=int, default=64, metavar="N", help="tokens written after it (default: 64)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="the best of so many rounds counts (default: 3)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object, in bytes and seconds")


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print the figures."""
    with answering.load(arguments, quantize=arguments.quantize) as engine:
        found = measure(engine, arguments.prompt_tokens, arguments.new_tokens, arguments.rounds)
        if arguments.json:
            print(
                json.dumps({"model": engine.name, **asdict(found), "bandwidth_share": found.bandwidth_share})
            )
        else:
            print(report(engine.name, found))
    return 0


def report(name: str, found: Measured) -> str:
    """Return the figures as lines of text."""
    peak = "unknown" if found.process_peak is None else size(found.process_peak)
    rows = {
        "prefill": f"{found.prefill:,.1f} tokens/s, of {found.prompt_tokens} tokens",
        "decode": f"{found.decode:,.1f} tokens/s, {found.new_tokens} tokens after them",
        "first token": f"{found.first_token * 1000:,.1f} ms after a short prompt",
        "memory": f"weights {size(found.weights)}, cache {size(found.cache)}, most on the device "
        f"{size(found.device_peak)}, most of the process {peak}",
        "bandwidth": f"{found.bandwidth_share:.0%} of a copy's {found.bandwidth / 1e9:,.1f} GB/s, "
        f"{size(found.token_bytes)} a token",
    }
    width = max(map(len, rows))
    return "\n".join(
        [f"{name} on {found.device}", *(f"{name:<{width}}  {text}" for name, text in rows.items())]
    )
