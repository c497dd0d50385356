"""Rows that are reduced again where they are read: a norm becomes part of the products behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import weft as wf
import weft.nn.functional as F
from weft.compiler.jit import JitFunction
from weft.devices.base import Device
from weft.graph import compile_graph
from weft.graph.ir import Graph
from weft.models import Decoder, DecoderConfig, LayerConfig, RopeConfig
from weft.models.source import RandomSource
from weft.target import CPU, TargetProfile

GPU = TargetProfile(
    "wgsl-native", frozenset({"immediates", "subgroup"}),
    {"max-immediate-size": 128, "max-storage-buffers-per-shader-stage": 16, "max-storage-buffer-binding-size": 1 << 30},
    vendor="nvidia", subgroup=32,
)  # fmt: skip


def names(graph: Graph, profile: TargetProfile = GPU) -> list[str]:
    return [step.spec.name for step in compile_graph(graph, profile).steps]


def feed_forward(x: wf.Tensor, scale: wf.Tensor, gate: wf.Tensor, up: wf.Tensor) -> wf.Tensor:
    hidden = F.rms_norm(x, (x.shape[-1],), scale, 1e-6)
    return F.silu(F.linear(hidden, gate)) * F.linear(hidden, up)


def operands(device: str, size: int, rows: int, dtype: Any = wf.float32) -> list[wf.Tensor]:
    draw = np.random.default_rng(0)
    shapes = ((1, 1, size), (size,), (rows, size), (rows, size))
    return [
        wf.tensor(draw.standard_normal(shape).astype(np.float32), device=device).to(dtype) for shape in shapes
    ]


def graph_of(function: Any, *given: wf.Tensor) -> Graph:
    return JitFunction(function, (), 1, False).graph(*given)


def test_two_products_of_a_normalised_token_are_one_kernel() -> None:
    graph = graph_of(feed_forward, *operands("cpu", 64, 48))
    assert names(graph) == ["matvec_fold_and_matvec_fold_and_silu_and_mul"]


def test_a_norm_that_is_also_a_result_has_a_kernel_of_its_own() -> None:
    def both(x: wf.Tensor, scale: wf.Tensor, gate: wf.Tensor, up: wf.Tensor) -> tuple[wf.Tensor, wf.Tensor]:
        return F.rms_norm(x, (x.shape[-1],), scale, 1e-6), feed_forward(x, scale, gate, up)

    assert any(name.startswith("norm") for name in names(graph_of(both, *operands("cpu", 64, 48))))


def test_a_processor_computes_a_norm_once() -> None:
    graph = graph_of(feed_forward, *operands("cpu", 64, 48))
    assert any("norm" in name for name in names(graph, CPU))


@pytest.mark.parametrize("kind", [wf.float32, wf.float16])
@pytest.mark.parametrize(("size", "rows"), [(64, 48), (896, 33), (37, 5)])
def test_values(device: Device, size: int, rows: int, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels that a GPU gets, on the software driver too, which also runs rows in vectors of four."""
    if device.profile.capabilities.workgroups:
        monkeypatch.setattr(device, "profile", replace(device.profile, software=False))
    given = operands(device.name, size, rows, kind)
    found = wf.jit(feed_forward)(*given).float().numpy()
    x, scale, gate, up = (each.float().numpy().astype(float) for each in given)
    hidden = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale
    first = hidden @ gate.T
    wanted = first / (1 + np.exp(-first)) * (hidden @ up.T)
    assert np.abs(found - wanted).max() < (1e-5 if kind is wf.float32 else 5e-3) * np.abs(wanted).max()


def layers(count: int) -> int:
    """Return the dispatches of a decode step of a decoder with so many layers."""
    config = DecoderConfig(
        "qwen2", vocab_size=100, hidden_size=64, intermediate_size=96, num_heads=4, num_kv_heads=2, head_dim=16,
        layers=(LayerConfig(),) * count, rope=RopeConfig(1e4, 16), norm_eps=1e-6, max_positions=512, tied=True,
        qkv_bias=True,
    )  # fmt: skip
    model = Decoder(config, RandomSource(dtype=wf.float16, device="cpu"))
    cache = model.cache({None: 9}, 2)

    def step(tokens: wf.Tensor, positions: wf.Tensor) -> wf.Tensor:
        view = cache.view(np.array([[5]]))
        return model.logits(model.model(tokens, positions, view))

    given = [wf.tensor([[value]], device="cpu") for value in (3, 5)]
    with wf.no_grad():
        return len(compile_graph(graph_of(step, *given), GPU).steps)


def test_a_layer_of_a_decode_step_has_seven_dispatches() -> None:
    """Norm, q, k and v; rotation and the cache; attention and its pieces; output; norm, gate and up; down."""
    assert layers(5) - layers(4) <= 7
