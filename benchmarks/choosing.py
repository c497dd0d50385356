"""Choosing a token: the filters against the same choice over a sorted vocabulary, and the cost of a grammar's masks.

``python -m benchmarks.choosing [--device cpu] [--quick]`` prints Markdown tables. Times of choices are minima in
microseconds and include the call of the compiled program and the read of the ids. Masks are those of a JSON Schema
along JSON texts that fit it, in the vocabulary of the demo model, for an answer in a fresh grammar and for later ones;
their times are the thread's processor time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import weft as wf
from weft.cli.answering import demo_model
from weft.engine import Sampling, json_grammar
from weft.engine.choosing import Chooser
from weft.engine.tokenizer import Tokenizer
from weft.engine.vocabulary import from_gguf
from weft.models.gguf import GGUFFile

VOCABULARIES, ROWS = (49_152, 151_936), (1, 16)
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "penalties": {"repetition_penalty": 1.1, "frequency_penalty": 0.1},
    "5 log-probabilities": {"logprobs": 5},
    "temperature": {"temperature": 0.8},
    "top-k": {"temperature": 0.8, "top_k": 40},
    "top-p": {"temperature": 0.8, "top_p": 0.9},
    "typical": {"temperature": 0.8, "typical_p": 0.9},
    "top-k, top-p, min-p": {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.05},
}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "friend": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
    },
    "required": ["name", "age", "born", "tags", "friend"],
    "additionalProperties": False,
}


def best(function: Callable[[], Any], turns: int) -> float:
    """Return the smallest time of a call in microseconds, after a warm-up."""
    function()
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times) * 1e6


def sorted_choice(logits: Any, uniform: Any) -> Any:
    """Choose by top-k 40, top-p 0.9 and min-p 0.05 over the sorted vocabulary."""
    ordered, order = (logits / 0.8).sort(dim=-1, descending=True)
    weights = ordered.softmax(-1)
    rank = wf.arange(weights.shape[-1], device=str(logits.device)).unsqueeze(0)
    weights = weights.masked_fill(rank >= 40, 0.0)
    before = weights.cumsum(-1) - weights
    keep = (before < 0.9 * weights.sum(-1, keepdim=True)) & (weights >= 0.05 * weights[:, :1])
    sums = weights.masked_fill(~keep, 0.0).cumsum(-1)
    place = (sums <= uniform.unsqueeze(1) * sums[:, -1:]).sum(-1, keepdim=True)
    return order.gather(-1, place).squeeze(-1)


def choices(device: str, vocabulary: int, rows: int, turns: int) -> list[tuple[str, float]]:
    """Return the time of each setting, and of the sorted choice."""
    rng = np.random.default_rng(0)
    logits = wf.tensor((rng.standard_normal((rows, vocabulary)) * 3).astype(np.float32), device=device)
    uniform = wf.tensor(rng.random(rows, np.float32), device=device)
    slots = wf.arange(1, rows + 1, device=device)
    chooser, result = Chooser(rows + 1, vocabulary, device), []
    with wf.no_grad():
        for name, given in SETTINGS.items():
            for slot in range(1, rows + 1):
                chooser.assign(slot, Sampling(**given), [1, 2, 3])
            needs = chooser.needs(range(1, rows + 1))

            @wf.jit
            def choose(logits: Any, slots: Any, uniform: Any, needs: Any = needs) -> Any:
                chosen = chooser.choose(logits, slots, uniform, needs)
                return chosen.ids, chosen.extra

            result.append(
                (name, best(lambda choose=choose: choose(logits, slots, uniform)[0].numpy(), turns))
            )
        by_sort = wf.jit(sorted_choice)
        try:
            result.append(("the same, sorted", best(lambda: by_sort(logits, uniform).numpy(), turns)))
        except wf.errors.KernelError:  # the software driver ends long loops
            result.append(("the same, sorted", float("nan")))
    return result


def documents(count: int) -> list[str]:
    """Return JSON texts that fit the schema."""
    rng, words = np.random.default_rng(1), "alpha river stone München 東京 quick brown fox".split()
    texts = []
    for _ in range(count):
        value: Any = None
        for _ in range(int(rng.integers(1, 4))):
            value = {
                "name": " ".join(rng.choice(words, 2)), "age": int(rng.integers(0, 150)),
                "born": f"{rng.integers(1900, 2030)}-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}",
                "tags": rng.choice(words, int(rng.integers(0, 4))).tolist(), "friend": value,
            }  # fmt: skip
        texts.append(json.dumps(value, ensure_ascii=False))
    return texts


def masks(tokenizer: Tokenizer, count: int) -> tuple[list[float], list[float]]:
    """Return microseconds of each step's mask and consumed token: of the first answer, and of the later ones."""
    grammar, words = json_grammar(SCHEMA, tokenizer), np.zeros(-(-tokenizer.size // 32), np.uint32)
    first: list[float] = []
    later: list[float] = []
    for number, text in enumerate(documents(count)):
        constraint = grammar.start()
        for token in tokenizer.encode(text):
            start = time.thread_time()
            constraint.mask(words)
            constraint.consume(token)
            (later if number else first).append((time.thread_time() - start) * 1e6)
    return first, later


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    turns = 5 if arguments.quick else 40
    sizes = [(size, rows) for size in VOCABULARIES for rows in ROWS][: 1 if arguments.quick else None]
    print("| vocabulary | rows | choice | µs |\n| --- | --- | --- | --- |")
    for vocabulary, rows in sizes:
        for name, taken in choices(arguments.device, vocabulary, rows, turns):
            print(f"| {vocabulary:,} | {rows} | {name} | {taken:,.0f} |", flush=True)
    with GGUFFile(demo_model()) as file:
        tokenizer = from_gguf(file.metadata, "demo model")
    first, later = masks(tokenizer, 10 if arguments.quick else 60)
    print("\n| masks | steps | mean µs | median | 99 % |\n| --- | --- | --- | --- | --- |")
    for name, times in (("first answer of a grammar", first), ("later answers", later)):
        mean, median, high = statistics.mean(times), statistics.median(times), float(np.quantile(times, 0.99))
        print(f"| {name} | {len(times)} | {mean:.0f} | {median:.0f} | {high:.0f} |")


if __name__ == "__main__":
    main()
