"""Perplexity of the demo model on docstrings of the standard library: float32, as shipped, int8, int4.

``python -m benchmarks.perplexity [tokens]`` prints a row for each and its ratio to float32. int8 and int4 are made from
the file's dequantised weights. The text is read in windows of 256 tokens; a window's first token is not predicted.
"""

from __future__ import annotations

import inspect
import statistics
import sys
from typing import Any

import numpy as np

import weft as wf
from weft.cli.answering import demo_model
from weft.engine.vocabulary import from_gguf
from weft.models import Decoder
from weft.models.cache import pages_for
from weft.models.gguf import GGUFFile, load_gguf
from weft.models.quant.integers import INTEGERS, QUANTIZE

WINDOW = 256


def text() -> str:
    """Return the docstrings of ``statistics``: the module's, then those of its public names."""
    members = (getattr(statistics, name) for name in statistics.__all__)
    return "\n\n".join(inspect.getdoc(each) or "" for each in (statistics, *members))


def losses(model: Decoder, ids: list[int]) -> Any:
    """Return the negative log-probability of each token of a window after the first."""
    cache = model.cache(1 + pages_for(len(ids)))
    places = np.arange(len(ids))
    with wf.no_grad():
        tokens, positions = wf.tensor(np.array([ids])), wf.tensor(places[None])
        logits = model(tokens, positions, cache.view(places[None]))[0].numpy().astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    chosen = logits[places[:-1], ids[1:]]
    return np.log(np.exp(logits[:-1]).sum(1)) - chosen


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
    forms: dict[str, dict[str, Any]] = {
        "float32": {"quantized": False},
        "as shipped (Q4_1, Q8_0)": {},
        **{name: {"quantized": False, "quantize": form} for name, form in QUANTIZE.items()},
        "int4-64-minima": {"quantized": False, "quantize": INTEGERS["int4-64-minima"]},
    }
    reference = None
    with GGUFFile(demo_model()) as file:
        ids = from_gguf(file.metadata, "demo").encode(text())[:count]
        windows = [ids[at : at + WINDOW] for at in range(0, len(ids), WINDOW)]
        for name, options in forms.items():
            model = load_gguf(file, **options)
            every = np.concatenate([losses(model, window) for window in windows if len(window) > 1])
            perplexity = float(np.exp(every.mean()))
            reference = reference or perplexity
            print(
                f"{name:24} {perplexity:8.4f}  {perplexity / reference:7.4f} of float32, {len(every)} tokens",
                flush=True,
            )


if __name__ == "__main__":
    main()
