"""All passes together, on whole training steps: how many nodes are left, that they compute the same, and how fast."""

from __future__ import annotations

import time

import numpy
import pytest

import weft as wf
from tests.graph.passes.checking import lines, ops, results
from tests.graph.passes.models import MODELS
from weft.compiler import trace
from weft.graph.passes import run
from weft.ops import lookup
from weft.target import CPU


@pytest.mark.parametrize("name", MODELS)
def test_a_step_computes_the_same_after_all_passes(device, name: str) -> None:
    wf.manual_seed(0)
    step, arguments = MODELS[name](device.name)
    traced = trace(step, *arguments)
    graph = run(traced.graph, device.profile)
    assert run(graph, device.profile) is graph
    before, after = (results(traced, value, *arguments) for value in (traced.graph, graph))
    for found, expected in zip(after, before, strict=True):
        numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, strict=True)


@pytest.mark.parametrize(("name", "most"), [("mlp", 21), ("gpt", 64), ("convolutional", 33)])
def test_no_more_nodes_than_needed(name: str, most: int) -> None:
    """Counted without views, which are no work."""
    step, arguments = MODELS[name]("cpu")
    graph = run(trace(step, *arguments).graph, CPU)
    assert sum(lookup(op).view is None for op in ops(graph)) <= most, repr(graph)
    assert "copy" not in ops(graph)


def test_the_step_of_an_mlp() -> None:
    step, arguments = MODELS["mlp"]("cpu")
    found = run(trace(step, *arguments).graph, CPU)
    assert ops(found)[-1] == "adam_step"
    assert "\n".join(lines(found)[:-1]) == GOLDEN


def test_observers_see_each_pass_that_changed_the_graph() -> None:
    seen = []
    graph = trace(lambda x: (x * 1).exp() + (x * 1).exp(), wf.ones(3, device="cpu")).graph
    last = run(graph, CPU, lambda name, after: seen.append((name, len(after.nodes))))
    assert seen == [("simplify", 3), ("cse", 2)]
    assert ops(last) == ["exp", "add"]


def test_two_thousand_nodes_pass_in_a_third_of_a_second() -> None:
    def program(x):
        for _ in range(250):
            x = (x.t() @ x).t() * 1.0 + x.exp().sum(0) / 2
        return x

    graph = trace(program, wf.ones(4, 4, device="cpu")).graph
    assert len(graph.nodes) >= 2000
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        run(graph, CPU)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.3


GOLDEN = """\
%3: float32[8, 16] = permute(%2, order=(1, 0))
%4: float32[5, 16] = matmul(%0, %3)
%6: float32[5, 16] = add(%4, %5)
%7: float32[5, 16] = relu(%6)
%9: float32[16, 4] = permute(%8, order=(1, 0))
%10: float32[5, 4] = matmul(%7, %9)
%12: float32[5, 4] = add(%10, %11)
%13: float32[5], %14: float32[5], %15: float32[5] = cross_entropy(%12, %1, ignore_index=-100)
%16: bool[5] = ne(%1, -100)
%17: float32[5] = cast(%16, dtype=weft.float32)
%18: float32[] = sum(%17, dims=(0,), keepdim=False)
%19: float32[] = sum(%13, dims=(0,), keepdim=False)
%20: float32[] = div(%19, %18)
%66: float32[] = div.grad0(1.0, %18)
%67: float32[5] = expand(%66, shape=(5,))
%25: float32[5, 4] = cross_entropy_backward(%67, %12, %1, %14, %15, ignore_index=-100)
%26: float32[1, 4] = sum(%25, dims=(0,), keepdim=True)
%28: float32[5, 16] = matmul(%25, %8)
%31: float32[5, 16] = relu.grad0(%28, %7)
%32: float32[1, 16] = sum(%31, dims=(0,), keepdim=True)
%68: float32[4, 5] = permute(%25, order=(1, 0))
%70: float32[4, 16] = matmul(%68, %7)
%71: float32[16, 5] = permute(%31, order=(1, 0))
%73: float32[16, 8] = matmul(%71, %0)
%40: float64[] = add(%39, 1.0)
%52: float32[16] = reshape(%32, shape=(16,))
%53: float32[4] = reshape(%26, shape=(4,))"""
