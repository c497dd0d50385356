"""Language models against llama.cpp and transformers: ``python -m benchmarks.engine [--peer PYTHON] [--rounds N]``.

Rows are the demo model as it is shipped, and Qwen2.5-0.5B's shape with random weights in Q4_0 and in float32. Each
measurement is a process of its own; weft and the peer take turns on the same file, with two threads each. ``--peer`` is
a Python with llama-cpp-python, built for this machine; transformers runs in this Python. A busy process is a loop in
Python on one of the cores. Printed is the best of the rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROMPT, NEW, REQUESTS = 20, 100, 16
"""Tokens of the prompt before decoding, tokens decoded, and requests that run together."""
CONTEXT = 2048
SHAPE: dict[str, Any] = {
    "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT, "rope_theta": 1e6,
    "tie_word_embeddings": True,
}  # fmt: skip
"""Of Qwen2.5-0.5B."""


def prompt(count: int, start: int = 1000) -> list[int]:
    """Return token ids, others for another ``start``, so that nothing is found in the cache."""
    return [start + place * 7 % 4000 for place in range(count)]


def seconds(run: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def spin() -> None:
    """Keep a core busy."""
    while True:
        pass


def weft(source: str) -> dict[str, float]:
    """Measure weft on a GGUF file, or on random float32 weights where ``source`` is empty."""
    start = time.perf_counter()
    import weft as wf

    engine = wf.Engine.load(source, context=CONTEXT) if source else random_engine()
    engine.generate(prompt(12, 3), max_tokens=1)
    found = {"load and first token": time.perf_counter() - start}

    def decode(first: int) -> float:
        return engine.generate(prompt(PROMPT, first), max_tokens=NEW, ignore_eos=True).tokens_per_second

    def prefill(count: int, first: int) -> float:
        return count / engine.generate(prompt(count, first), max_tokens=1).prompt_seconds

    decode(5)
    found["decode"] = max(decode(first) for first in (6, 7, 8))
    for count in (256, 1500) if source else (256,):
        prefill(count, 9)
        found[f"prefill of {count}"] = max(prefill(count, first) for first in (10, 11))

    def together(first: int) -> None:
        requests = [
            engine.submit(prompt(PROMPT, first + 100 * number), max_tokens=NEW // 2, ignore_eos=True)
            for number in range(REQUESTS)
        ]
        for request in requests:
            request.result()

    together(2000)
    written = REQUESTS * NEW // 2
    found[f"{REQUESTS} requests"] = written / min(seconds(partial(together, first)) for first in (4000, 6000))
    other = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
    other.start()
    time.sleep(1)
    found["decode beside a busy process"] = max(decode(first) for first in (12, 13))
    other.kill()
    return found


def random_engine() -> Any:
    """Return an engine of ``SHAPE`` with random float32 weights."""
    from tests.engine.byte_vocabulary import byte_tokenizer
    from weft.engine import Engine
    from weft.models import Decoder
    from weft.models.families import config_from

    return Engine(Decoder(config_from({"model_type": "qwen2", **SHAPE}, "shape")), byte_tokenizer())


def llama(source: str) -> dict[str, float]:
    """Measure llama.cpp on a GGUF file."""
    start = time.perf_counter()
    from llama_cpp import Llama  # type: ignore[import-not-found]

    model = Llama(source, n_ctx=CONTEXT, n_threads=2, n_threads_batch=2, verbose=False)

    def decode(count: int) -> None:
        for number in range(count):
            model.eval([1000 + number])  # without choosing, which its Python interface makes slow

    def prefill(count: int) -> float:
        model.reset()
        return count / seconds(lambda: model.eval(prompt(count)))

    prefill(12)
    decode(1)
    found = {"load and first token": time.perf_counter() - start}
    rates = []
    for _ in range(3):
        prefill(PROMPT)
        rates.append(NEW / seconds(lambda: decode(NEW)))
    found["decode"] = max(rates)
    for count in (256, 1500):
        found[f"prefill of {count}"] = max(prefill(count) for _ in range(2))
    return found


def transformers(source: str) -> dict[str, float]:
    """Measure transformers on random float32 weights of ``SHAPE``."""
    import torch
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    torch.set_num_threads(2)
    model = Qwen2ForCausalLM(Qwen2Config(**SHAPE)).eval()
    config = GenerationConfig(min_new_tokens=30, max_new_tokens=30, do_sample=False, pad_token_id=0)

    def run(count: int, settings: Any) -> float:
        ids = torch.tensor([prompt(count)])
        return seconds(
            lambda: model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        )

    one = GenerationConfig(min_new_tokens=1, max_new_tokens=1, do_sample=False, pad_token_id=0)
    run(PROMPT, config)
    decode = max(29 / (run(PROMPT, config) - run(PROMPT, one)) for _ in range(2))
    return {"decode": decode, "prefill of 256": max(256 / run(256, one) for _ in range(2))}


def write_shape(path: Path) -> None:
    """Write random weights of ``SHAPE`` as GGUF: matrices in Q4_0, the embedding in Q8_0."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "qwen2")
    hidden, inner, heads = SHAPE["hidden_size"], SHAPE["intermediate_size"], SHAPE["num_attention_heads"]
    shared = SHAPE["num_key_value_heads"] * (hidden // heads)
    writer.add_block_count(SHAPE["num_hidden_layers"])
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(SHAPE["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(SHAPE["rope_theta"])
    from tests.engine.byte_vocabulary import LETTERS, MERGES, WORDS

    words = [*WORDS, *(f"<{number}>" for number in range(SHAPE["vocab_size"] - len(WORDS)))]
    assert len(LETTERS) == 256
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(words)
    writer.add_token_types([1] * len(words))
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(len(words) - 1)
    random = np.random.default_rng(0)

    def matrix(name: str, rows: int, columns: int, kind: gguf.GGMLQuantizationType) -> None:
        weights = random.standard_normal((rows, columns), np.float32) * 0.02
        writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)

    four, eight = gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0
    matrix("token_embd.weight", SHAPE["vocab_size"], hidden, eight)
    writer.add_tensor("output_norm.weight", np.ones(hidden, np.float32))
    for layer in range(SHAPE["num_hidden_layers"]):
        for name, rows, columns in (
            ("attn_q", hidden, hidden), ("attn_k", shared, hidden), ("attn_v", shared, hidden),
            ("attn_output", hidden, hidden), ("ffn_gate", inner, hidden), ("ffn_up", inner, hidden),
            ("ffn_down", hidden, inner),
        ):  # fmt: skip
            matrix(f"blk.{layer}.{name}.weight", rows, columns, four)
        for name, size in (("attn_q", hidden), ("attn_k", shared), ("attn_v", shared)):
            writer.add_tensor(f"blk.{layer}.{name}.bias", np.zeros(size, np.float32))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(hidden, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


MEASURES = {"weft": weft, "llama": llama, "transformers": transformers}


def measured(python: str, name: str, source: str) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [python, "-m", "benchmarks.engine", "--measure", name, source]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} on {source or 'random weights'}:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(title: str, source: str, peer: tuple[str, str] | None, rounds: int) -> None:
    """Print the table of a model: weft, the peer where there is one, and the ratio of the rates."""
    best: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for name, python in (("weft", sys.executable), *([] if peer is None else [peer])):
            for row, value in measured(python, name, source).items():
                choose = min if row.startswith("load") else max
                kept = best.setdefault(name, {})
                kept[row] = choose(value, kept.get(row, value))
    theirs = {} if peer is None else best[peer[0]]
    print(
        f"\n{title}\n\n| tokens a second | weft | {peer[0] if peer else 'peer'} | ratio |\n| --- | --- | --- | --- |"
    )
    for row, value in best["weft"].items():
        other, timed = theirs.get(row), row.startswith("load")
        ratio = "" if other is None else f"{other / value if timed else value / other:.2f}"
        shown = [
            f"{number:.2f} s" if timed else f"{number:,.0f}"
            for number in (value, *([other] if other else []))
        ]
        print(f"| {row} | {shown[0]} | {shown[1] if other else ''} | {ratio} |", flush=True)


def main() -> None:
    """Print the tables, or measure in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="a Python with llama-cpp-python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(MEASURES[arguments.measure[0]](arguments.measure[1])))
        return
    from weft.cli.answering import demo_model

    llama_cpp = None if arguments.peer is None else ("llama", arguments.peer)
    compared("SmolLM2-135M as shipped", str(demo_model()), llama_cpp, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        write_shape(Path(folder) / "shape.gguf")
        compared("Qwen2.5-0.5B's shape, Q4_0", str(Path(folder) / "shape.gguf"), llama_cpp, arguments.rounds)
    compared("Qwen2.5-0.5B's shape, float32", "", ("transformers", sys.executable), arguments.rounds)


if __name__ == "__main__":
    main()
