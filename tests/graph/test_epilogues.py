"""Epilogues of products: pointwise consumers are in the product's kernel, with the results of separate kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy
import pytest

import weft as wf
import weft.nn.functional as F
from tests.conftest import ADAPTER
from weft import codegen, devices
from weft.compiler import trace
from weft.devices.base import Storage
from weft.graph.lower.lowered import Lowered, Result
from weft.graph.pipeline import lower_graph
from weft.graph.plan.planning import Planning
from weft.kernels import Epilogue, Library
from weft.ops import Geometry
from weft.target import BROWSER, TargetProfile
from weft.tensors.array import Array
from weft.tensors.tensor import Tensor

pytestmark = pytest.mark.webgpu
Function = Callable[..., Any]
M, N, K = 67, 70, 65  # more multiplications than the naive kernel is chosen for


def heads(q: Tensor, k: Tensor) -> Tensor:
    """The values of attention, heads back beside each other."""
    return (q @ k).permute(0, 2, 1, 3).reshape(2, q.shape[2], 3 * k.shape[3])


CASES: dict[str, tuple[Function, tuple[tuple[int, ...], ...]]] = {
    "bias": (lambda x, w, b: x @ w + b, ((M, K), (K, N), (N,))),
    "linear": (F.linear, ((2, M, K), (N, K), (N,))),
    "activation": (lambda x, w, b: F.gelu(x @ w + b), ((M, K), (K, N), (N,))),
    "residual": (lambda x, w, r: r + 0.5 * (x @ w), ((M, K), (K, N), (M, N))),
    "both": (lambda x, w, b: (x @ w + b, wf.relu(x @ w + b)), ((M, K), (K, N), (N,))),
    "gradient": (lambda g, w, y: (g @ w) * (y > 0), ((M, K), (K, N), (M, N))),
    "column": (lambda x, w, b: x @ w - b, ((M, K), (K, N), (M, 1))),
    "batch": (lambda x, w, b: wf.tanh(x @ w) * b, ((3, M, K), (3, K, N), (3, 1, N))),
    "turned": (lambda x, w: (x @ w).permute(1, 0).contiguous() * 2, ((M, K), (K, N))),
    "turned batch": (lambda x, w: (x @ w).permute(0, 2, 1).contiguous().exp(), ((2, M, K), (2, K, N))),
    "heads": (heads, ((2, 3, 33, 67), (2, 3, 67, 34))),
    "masked": (lambda q, k, m: wf.where(m > 0, q @ k, -1e9), ((4, 66, 33), (4, 33, 66), (66, 66))),
    "squares": (lambda x, w: x + x @ w, ((K, K), (K, K))),
    "itself": (lambda x: wf.sin(x @ x) + x, ((K, K),)),
    "narrowed": (lambda x, w, b: (x @ w + b).half(), ((M, K), (K, N), (N,))),
    "positive": (lambda x, w: (x @ w) > 0, ((M, K), (K, N))),
    "scaled": (lambda q, k: (q * 0.25) @ k.permute(0, 2, 1), ((3, M, 33), (3, N, 33))),
}


def arguments(shapes: tuple[tuple[int, ...], ...], dtype: wf.DType) -> list[Tensor]:
    rng = numpy.random.default_rng(len(shapes))
    return [
        wf.tensor(rng.standard_normal(shape).astype("float32"), device=ADAPTER).to(dtype) for shape in shapes
    ]


def profiles() -> dict[str, TargetProfile]:
    own = devices.open(ADAPTER).profile
    return {"software": replace(own, software=True), "hardware": replace(own, software=False)}


def run(
    lowered: Lowered, profile: TargetProfile, inputs: list[Tensor], states: tuple[Tensor, ...] = ()
) -> list[Tensor]:
    """Outputs of a lowered program; states are changed in place."""
    device = devices.open(ADAPTER)
    replay = device.prepare(Planning(lowered, profile).plan())
    storages = replay.run(
        [source._data.storage for source in inputs], [state._data.storage for state in states]
    )
    return [wrapped(storage, output) for storage, output in zip(storages, lowered.outputs, strict=True)]


def wrapped(storage: Storage, value: Result) -> Tensor:
    """An output's storage as a tensor."""
    strides = Geometry.contiguous(value.type.shape).strides
    return Tensor.wrap(Array(storage, value.type.dtype, value.type.shape, strides, 0))


FOURS = {M: 68, N: 72, K: 64, 33: 36, 34: 40, 66: 76}
"""Sizes that are multiples of 4, so that rows are stored four at a time; else they end within the tiles, too."""


@pytest.mark.parametrize("sizes", ["odd", "fours"])
@pytest.mark.parametrize("kind", ["software", "hardware"])
@pytest.mark.parametrize("name", CASES)
def test_an_epilogue_equals_separate_kernels(name: str, kind: str, sizes: str) -> None:
    function, shapes = CASES[name]
    if sizes == "fours":
        shapes = tuple(tuple(FOURS.get(size, size) for size in shape) for shape in shapes)
    given = arguments(shapes, wf.float32)
    expected = function(*given)
    expected = expected if isinstance(expected, tuple) else (expected,)
    profile = profiles()[kind]
    lowered = lower_graph(trace(function, *given).graph, profile)
    assert [call.kernel.name for call in lowered.calls] == ["matmul"], lowered
    assert ("c", sizes == "fours") in lowered.calls[0].kernel.options or name == "squares"
    for actual, wanted in zip(run(lowered, profile, given), expected, strict=True):
        assert actual.dtype is wanted.dtype
        numpy.testing.assert_allclose(
            actual.numpy(), wanted.numpy(), rtol=1e-5, atol=2e-4 if name != "narrowed" else 2e-2
        )


@pytest.mark.parametrize("dtype", [wf.float16, wf.bfloat16])
def test_narrow_products_are_rounded_before_the_epilogue(dtype: wf.DType) -> None:
    given = arguments(((M, K), (K, N), (N,)), dtype)
    function = lambda x, w, b: wf.relu(x @ w + b)  # noqa: E731
    profile = profiles()["software"]
    lowered = lower_graph(trace(function, *given).graph, profile)
    assert len(lowered.calls) == 1, lowered
    (found,) = run(lowered, profile, given)
    numpy.testing.assert_array_equal(found.float().numpy(), function(*given).float().numpy())


def test_a_parameter_is_updated_in_place_by_the_product_of_its_gradient() -> None:
    x, grad, weight = arguments(((M, K), (M, N), (K, N)), wf.float32)

    def step(x: Tensor, grad: Tensor) -> None:
        weight.sub_(0.1 * (x.permute(1, 0) @ grad))

    before = weight.numpy()
    traced = trace(step, x, grad)
    profile = profiles()["software"]
    lowered = lower_graph(traced.graph, profile)
    plan = Planning(lowered, profile).plan()
    assert len(plan.steps) == 1 and plan.arenas == ()
    run(lowered, profile, [x, grad], traced.states)
    numpy.testing.assert_allclose(
        weight.numpy(), before - 0.1 * x.numpy().T @ grad.numpy(), rtol=1e-4, atol=1e-4
    )


def test_a_state_that_is_also_an_operand_is_not_overwritten_while_it_is_read() -> None:
    (weight,) = arguments(((K, K),), wf.float32)

    def step() -> None:
        weight.copy_(weight @ weight + weight)

    before = weight.numpy()
    traced = trace(step)
    profile = profiles()["software"]
    run(lower_graph(traced.graph, profile), profile, [], traced.states)
    numpy.testing.assert_allclose(weight.numpy(), before @ before + before, rtol=1e-4, atol=1e-4)


def epilogue_of(name: str, profile: TargetProfile) -> tuple[Library, Epilogue]:
    function, shapes = CASES[name]
    given = arguments(shapes, wf.float32)
    (call,) = lower_graph(trace(function, *given).graph, profile).calls
    assert isinstance(call.kernel, Library) and call.kernel.epilogue is not None
    return call.kernel, call.kernel.epilogue


def test_a_transposed_result_is_stored_by_the_transposed_product() -> None:
    profile = profiles()["hardware"]
    _, straight = epilogue_of("bias", profile)
    _, turned = epilogue_of("turned", profile)
    assert straight.shape == (1, M, N)
    assert turned.shape == (1, N, M)


@pytest.mark.parametrize("name", CASES)
def test_browsers_get_a_kernel_too(name: str) -> None:
    kernel, epilogue = epilogue_of(name, BROWSER)
    assert epilogue.buffers[-1].access == "read_write"
    plan = Planning(
        lower_graph(trace(CASES[name][0], *arguments(CASES[name][1], wf.float32)).graph, BROWSER), BROWSER
    )
    (step,) = plan.plan().steps
    assert len(step.spec.inputs) + len(step.spec.outputs) <= 8  # type: ignore[union-attr]
    assert "@workgroup_size" in codegen.generate(kernel, BROWSER).source


def test_more_buffers_than_a_kernel_may_bind_stay_apart() -> None:
    def function(x: Tensor, w: Tensor, *more: Tensor) -> Tensor:
        total = x @ w
        for value in more:
            total = total * value
        return total

    given = arguments(((M, K), (K, N), *((M, N),) * 9), wf.float32)
    profile = profiles()["software"]
    profile = replace(profile, limits={**profile.limits, "max-storage-buffers-per-shader-stage": 8})
    lowered = lower_graph(trace(function, *given).graph, profile)
    assert max(len(call.values) for call in lowered.calls) <= 8
    (found,) = run(lowered, profile, given)
    numpy.testing.assert_allclose(found.numpy(), function(*given).numpy(), rtol=1e-4, atol=1e-4)
