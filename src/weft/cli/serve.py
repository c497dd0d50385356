"""``weft serve``: a language model over HTTP until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import os
import sys

from weft.cli import answering
from weft.engine.packages import required
from weft.errors import ArgumentError, mistake

EPILOG = """\
endpoints:
  /                      a chat page
  /v1/chat/completions   OpenAI's protocol, as /v1/completions, /v1/embeddings, /v1/models
  /v1/messages           Anthropic's protocol, as /v1/messages/count_tokens
  /health  /metrics      for supervisors and Prometheus; /openapi.json describes all

examples:
  weft serve                                    the demo model on http://127.0.0.1:8000
  weft serve --model model.gguf --slots 16      16 answers at a time
  WEFT_API_KEY=... weft serve --host 0.0.0.0    for other machines, with a key

Keys: clients send "Authorization: Bearer KEY" or "x-api-key: KEY". A key on the command line can be seen by other users
of the machine; WEFT_API_KEY in the environment (several keys with commas) cannot. docs/server.md says more.
"""


def options(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    answering.model_options(parser)
    add = parser.add_argument
    add("--name", metavar="NAME", help="what clients call the model (default: the name of its file)")
    add(
        "--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1, this machine only)"
    )
    add("--port", type=int, default=8000, help="the port to listen at; 0 takes a free one (default: 8000)")
    add("--slots", type=int, default=8, metavar="N", help="answers that are made at a time (default: 8)")
    add(
        "--cache-tokens", type=int, metavar="N",
        help="tokens of all running prompts and answers together (default: the context)",
    )  # fmt: skip
    add(
        "--queue",
        type=int,
        default=64,
        metavar="N",
        help="requests that may wait; more get 429 (default: 64)",
    )
    add(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help="a key that clients must send; repeatable",
    )
    add(
        "--cors", action="append", default=[], metavar="ORIGIN",
        help="an origin whose pages may call the server, or '*'; repeatable",
    )  # fmt: skip
    add("--timeout", type=float, default=600.0, metavar="S", help="most seconds of an answer (default: 600)")
    add(
        "--drain",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds to end answers in at the end (default: 30)",
    )
    add(
        "--max-body",
        type=int,
        default=8 << 20,
        metavar="BYTES",
        help="most bytes of a request (default: 8 MiB)",
    )
    add("--pooling", choices=("mean", "last"), help="allow embeddings: states of all tokens, or of the last")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal."""
    for package in ("starlette", "uvicorn", "pydantic", "prometheus_client"):
        required(package, "weft serve", "serve")
    from weft.server import Settings, running

    if not 0 <= arguments.port < 2**16:
        raise ArgumentError(mistake("serve", "--port", arguments.port, "0 to 65535"))
    keys = [*arguments.api_key, *filter(None, os.environ.get("WEFT_API_KEY", "").split(","))]
    settings = Settings(
        api_keys=tuple(keys), cors=tuple(arguments.cors), queue=arguments.queue, max_body=arguments.max_body,
        timeout=arguments.timeout, drain=arguments.drain, pooling=arguments.pooling,
    )  # fmt: skip
    with running.bind(arguments.host, arguments.port) as bound:
        engine = answering.load(arguments, slots=arguments.slots, cache_tokens=arguments.cache_tokens)
        if arguments.name is not None:
            engine.name = arguments.name
        host, port = bound.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"

        def listening() -> None:
            print(
                f"weft serve: {engine.name} at {address} (a chat page; {address}/v1 for clients)", flush=True
            )
            if not keys and arguments.host not in ("127.0.0.1", "localhost", "::1"):
                print(
                    "weft serve: no API key is set: whoever reaches this address may use it", file=sys.stderr
                )

        try:
            running.serve(engine, bound, settings, listening)
        finally:
            engine.close()
    return 0
