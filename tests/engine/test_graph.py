"""The graph of a model for readers: against the compiler's trace, transformers' keys, and the modules' names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import weft
from tests.engine import byte_vocabulary
from tests.engine.chat_templates import HERMES
from tests.models.checkpoints import CASES, Case, model, write
from weft import compiler, dtypes, models
from weft.engine import Engine
from weft.engine.graph import ModelGraph, model_graph
from weft.errors import ArgumentError
from weft.models import CacheView, Decoder
from weft.models.cache import pages_for
from weft.ops import TensorType

CONTEXT = 64


def loaded(folder: Path, family: str) -> tuple[Any, Decoder]:
    """Return a model of transformers, and the same loaded here."""
    made = model(CASES[family])
    made.save_pretrained(folder)
    return made, models.load(folder)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "gemma2"])
def test_the_graph_of_a_family(tmp_path: Path, family: str) -> None:
    made, decoder = loaded(tmp_path, family)
    cache = decoder.cache(1 + pages_for(CONTEXT))
    graph = model_graph(decoder, cache, 3, CONTEXT)
    checked(graph, decoder)
    tied = {"lm_head.weight"} if decoder.config.tied else set()
    buffers = (".attn.bias", ".attn.masked_bias")
    keys = {name for name in made.state_dict() if not name.endswith(buffers)} - tied
    assert set(graph.checkpoint_keys) == keys
    assert graph.architecture == decoder.config.family
    assert graph.dimensions == {"T": 3, "L_max": CONTEXT}
    (logits,) = graph.outputs
    assert graph.tensors[logits].shape == (1, decoder.config.vocab_size)
    caches = [name for name, tensor in graph.tensors.items() if tensor.storage == "kv_cache"]
    layers = len(decoder.config.layers)
    assert sorted(caches) == sorted(
        f"layers.{layer}.cache.{part}" for layer in range(layers) for part in ("keys", "values")
    )
    assert sorted(graph.updates) == sorted(caches)
    assert json.loads(json.dumps(graph.to_json()))["nodes"][0]["op"] == graph.nodes[0].op


def checked(graph: ModelGraph, decoder: Decoder) -> None:
    """Check that each value is named before its use, and each node by a module."""
    modules = {name.removeprefix("model.") for name, _ in decoder.named_modules()} | {"decoder"}
    known = {name for name, tensor in graph.tensors.items() if tensor.storage != "activation"} | set(
        graph.inputs
    )
    for node in graph.nodes:
        assert node.name in modules
        assert all(not isinstance(name, str) or name in known for name in node.inputs)
        assert not known & set(node.outputs)
        known.update(node.outputs)
    assert known == set(graph.tensors)
    assert {node.name for node in graph.nodes} >= {"layers.0.input_layernorm"}


def test_the_nodes_are_those_that_the_compiler_traces(tmp_path: Path) -> None:
    _, decoder = loaded(tmp_path, "llama")
    cache = decoder.cache(1 + pages_for(CONTEXT))
    graph = model_graph(decoder, cache, 2, CONTEXT)

    def call(tokens: Any, positions: Any, pages: Any, slots: Any, rows: Any, lengths: Any, reach: Any) -> Any:
        view = CacheView(cache, {None: pages}, {None: slots}, rows, positions, lengths, reach)
        return decoder.logits(decoder.model(tokens, positions, view)[:, -1])

    shapes = [(1, 2), (1, 2), (1, 2), (2,), (1,), (1,), (1,)]
    kinds = [dtypes.int64, dtypes.int64, dtypes.int32, *[dtypes.int64] * 4]
    traced = compiler.trace(call, *(TensorType(*each) for each in zip(shapes, kinds, strict=True))).graph
    assert [node.op for node in graph.nodes] == [node.op for node in traced.nodes]
    assert [graph.tensors[name].shape for name in graph.inputs] == [var.type.shape for var in traced.inputs]


def test_projections_have_their_names(tmp_path: Path) -> None:
    _, decoder = loaded(tmp_path, "qwen3")
    graph = model_graph(decoder, decoder.cache(1 + pages_for(CONTEXT)), 1, CONTEXT)
    names = [node.name for node in graph.nodes]
    for name in (
        "embed_tokens",
        "layers.1.self_attn.q_proj",
        "layers.1.self_attn.q_norm",
        "layers.1.mlp.up_proj",
    ):
        assert name in names
    node = next(node for node in graph.nodes if node.name == "layers.1.self_attn.q_proj")
    assert "layers.1.self_attn.q_proj.weight" in str(node.inputs)
    assert all(module._hooks is None or not module._hooks.before for module in decoder.modules())


def test_the_engine_and_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"vocab_size": len(byte_vocabulary.TOKENS), "max_position_embeddings": CONTEXT}
    made = model(Case("llama", {**CASES["llama"].changed, **sizes}))
    extra = {**byte_vocabulary.metadata(), "tokenizer.chat_template": HERMES}
    path = write(tmp_path / "tiny.gguf", made, extra=extra)
    with Engine.load(path) as engine:
        before = engine.generate("hello", max_tokens=4, ignore_eos=True).tokens
        graph = engine.graph()
        assert graph.capabilities == ("generate", "score", "chat", "tools", "reasoning")
        assert engine.generate("hello", max_tokens=4, ignore_eos=True).tokens == before
        for tokens in (0, CONTEXT + 1):
            with pytest.raises(ArgumentError, match="tokens"):
                engine.graph(tokens)
    done = weft(capsys, "inspect", "--graph", path)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[0] == "llama: generate, score, chat, tools, reasoning"
    assert f"\n{len(graph.nodes)} nodes\n" in done.out
    assert "  layers.1.mlp.down_proj.weight float32[" in done.out
    assert json.loads(weft(capsys, "inspect", "--graph-json", path).out)["dimensions"] == {
        "T": 1,
        "L_max": CONTEXT,
    }
    failed = weft(capsys, "inspect", "--graph", tmp_path / "none.gguf")
    assert (failed.status, failed.out, len(failed.err.splitlines())) == (1, "", 1)
