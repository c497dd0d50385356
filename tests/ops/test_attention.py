"""``attention`` and its gradient: tiles of any size, masks, large scores, determinism, and memory without weights."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import torch

import weft as wf
import weft.nn.functional as F
from tests.graph.passes.checking import ops
from weft import dtypes
from weft.compiler import trace
from weft.devices.base import Device
from weft.errors import DTypeError, ShapeError
from weft.graph import compile_graph
from weft.nn import attention as functional
from weft.ops import OPS, TensorType, bind
from weft.target import CPU, TargetProfile

HARDWARE = TargetProfile(
    "wgsl-native", frozenset({"immediates"}),
    {"max-immediate-size": 128, "max-storage-buffers-per-shader-stage": 8, "max-storage-buffer-binding-size": 1 << 30},
)  # fmt: skip
Array = Any


def drawn(*shape: int, seed: int = 0) -> Array:
    return numpy.random.default_rng(seed).standard_normal(shape).astype("float32")


def operands(device: Device, *sizes: int) -> list[wf.Tensor]:
    """q, k, v and an output's gradient for (batch, heads, shared, length, keys, size, value size)."""
    batch, heads, shared, length, keys, size, value = sizes
    shapes = ((batch, length, heads, size), (batch, keys, shared, size), (batch, keys, shared, value), (batch, length, heads, value))  # fmt: skip
    return [wf.tensor(drawn(*shape, seed=at), device=device.name) for at, shape in enumerate(shapes)]


def both(
    given: list[wf.Tensor], mask: list[wf.Tensor], causal: bool, scale: float
) -> tuple[list[Array], list[Array]]:
    """Output, sums and gradients, and what the references make of the same operands."""
    *inputs, grad = given
    options = {"causal": causal, "scale": scale}
    out, sums = bind(OPS["attention"], *inputs, *mask, **options)
    found = [out, sums, *bind(OPS["attention_backward"], grad, out, sums, *inputs, *mask, **options)]
    wide = [
        value.numpy().astype("float64") if value.dtype.kind == "float" else value.numpy()
        for value in (*inputs, *mask)
    ]
    own_out, own_sums = OPS["attention"].reference(*wide, **options)
    own = OPS["attention_backward"].reference(
        grad.numpy().astype("float64"), own_out, own_sums, *wide, **options
    )
    return [value.numpy() for value in found], [own_out, own_sums, *own]


SIZES = {
    "one tile": (2, 2, 2, 8, 7, 8, 4), "edges": (1, 3, 3, 70, 41, 8, 4), "shared heads": (2, 4, 2, 33, 65, 8, 4),
    "one query": (2, 4, 1, 1, 130, 8, 4), "odd heads": (1, 2, 1, 34, 35, 39, 3),
}  # fmt: skip
"""Of the same sizes of heads where they may be: these are part of the kernels, and drivers take long to compile."""


@pytest.mark.parametrize("causal", [False, True], ids=["", "causal"])
@pytest.mark.parametrize("name", SIZES)
def test_tiles_of_any_size(device: Device, name: str, causal: bool) -> None:
    given = operands(device, *SIZES[name])
    for found, expected in zip(*both(given, [], causal, 0.3), strict=True):
        numpy.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1, abs(expected).max()))


def test_heads_of_256(device: Device) -> None:
    given = operands(device, 1, 1, 1, 9, 35, 256, 256)
    for found, expected in zip(*both(given, [], False, 0.06), strict=True):
        numpy.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["bool", "added"])
def test_masks_and_rows_that_see_nothing(device: Device, kind: str) -> None:
    given = operands(device, 2, 2, 1, 37, 70, 8, 4)
    mask = drawn(2, 1, 37, 70, seed=9) > 0.5
    mask[:, :, 5] = False
    mask[:, :, 6, :65] = False  # of the first tiles nothing
    if kind == "added":
        mask = numpy.where(mask, drawn(2, 1, 37, 70, seed=8), -numpy.inf).astype("float32")
    found, expected = both(given, [wf.tensor(mask, device=device.name)], False, 0.5)
    for actual, wanted in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=2e-5)
    assert (found[0][:, 5] == 0).all() and (found[1][:, :, 5] == 0).all() and (found[2][:, 5] == 0).all()


def test_large_scores_neither_overflow_nor_vanish(device: Device) -> None:
    """Scores up to some 10,000: one key has nearly all the weight."""
    given = operands(device, 1, 1, 1, 20, 80, 8, 4)
    found, expected = both(given, [], False, 1000.0)
    assert all(numpy.isfinite(value).all() for value in found)
    numpy.testing.assert_allclose(found[0], expected[0], rtol=0, atol=2e-2)
    numpy.testing.assert_allclose(found[1][..., 0], expected[1][..., 0], rtol=1e-5)
    numpy.testing.assert_allclose(found[1][..., 1], expected[1][..., 1], rtol=5e-3)


def test_infinite_and_missing_numbers_show(device: Device) -> None:
    q, k, v, _ = operands(device, 1, 1, 1, 4, 40, 8, 4)
    q[0, 1, 0, 0], q[0, 2, 0, 0] = math.nan, math.inf
    out = bind(OPS["attention"], q, k, v, causal=False, scale=0.5)[0].numpy()
    assert numpy.isnan(out[0, 1]).all() and numpy.isnan(out[0, 2]).all()
    assert numpy.isfinite(out[0, [0, 3]]).all()


def test_the_same_bits_each_time(device: Device) -> None:
    given = operands(device, 1, 2, 1, 140, 150, 8, 4)
    first, second = (both(given, [], True, 0.3)[0] for _ in range(2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


def test_heads_of_a_projection_are_read_as_they_lie(device: Device) -> None:
    """Queries, keys and values as views of one tensor, and a result that is a view of the next projection's input."""
    packed = wf.tensor(drawn(2, 40, 3, 2, 8), device=device.name)
    q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    theirs = [torch.from_numpy(tensor.numpy()) for tensor in (q, k, v)]
    expected = torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=True)
    numpy.testing.assert_allclose(mixed.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    if device.name != "cpu":
        assert mixed.permute(0, 2, 1, 3).is_contiguous()


@pytest.mark.parametrize("shapes", [((3, 2, 5, 4), (2, 6, 4)), ((2, 1, 5, 4), (1, 3, 6, 4)), ((5, 4), (3, 2, 6, 4)), ((2, 1, 2, 5, 4), (3, 2, 6, 4))])  # fmt: skip
def test_leading_dimensions_broadcast(device: Device, shapes: tuple[tuple[int, ...], ...]) -> None:
    arrays = [drawn(*shape, seed=at) for at, shape in enumerate((shapes[0], shapes[1], shapes[1]))]
    ours = [wf.tensor(array, device=device.name, requires_grad=True) for array in arrays]
    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    mixed = F.scaled_dot_product_attention(*ours)
    expected = torch.softmax(theirs[0] @ theirs[1].mT / 2, -1) @ theirs[2]
    numpy.testing.assert_allclose(mixed.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    mixed.square().sum().backward()
    expected.square().sum().backward()
    for actual, wanted in zip(ours, theirs, strict=True):
        numpy.testing.assert_allclose(actual.grad.numpy(), wanted.grad.numpy(), rtol=1e-4, atol=1e-5)  # type: ignore[union-attr]


@pytest.mark.cpu
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_gradients_with_shared_heads_and_a_mask(causal: bool) -> None:
    draw = numpy.random.default_rng(3)
    shapes = ((1, 2, 2, 2), (1, 3, 1, 2), (1, 3, 1, 1), (1, 1, 2, 3))
    given = [
        wf.tensor(draw.standard_normal(shape), dtype=wf.float64, device="cpu", requires_grad=True)
        for shape in shapes
    ]

    def run(q: Any, k: Any, v: Any, mask: Any) -> Any:
        return bind(OPS["attention"], q, k, v, mask, causal=causal, scale=0.7)[0]

    assert wf.autograd.gradcheck(run, given)
    assert wf.autograd.gradgradcheck(run, given)


LONG = (1, 8, 2048, 32)
"""Of this (batch, heads, length, size) the weights take 128 MiB."""


@pytest.mark.cpu
@pytest.mark.parametrize("profile", [CPU, HARDWARE], ids=["cpu", "webgpu"])
def test_no_weights_are_held(profile: TargetProfile) -> None:
    """All that a forward and backward pass keep is less than one head's weights times the heads of a thread."""
    x = wf.zeros(*LONG, device="cpu")

    def run(q: Any, g: Any) -> Any:
        q = q.detach().requires_grad_()
        mixed = F.scaled_dot_product_attention(q, q, q, is_causal=True)
        return wf.autograd.grad(mixed, q, g)

    plan = compile_graph(trace(run, x, x).graph, profile)
    heads, length = LONG[0] * LONG[1], LONG[2]
    assert sum(plan.arenas) < heads * length * length * 4 / 8
    assert sum(plan.arenas) < 12 * x.numel() * 4


@pytest.mark.cpu
def test_the_cpu_keeps_few_weights() -> None:
    def made(length: int) -> list[str]:
        x = wf.zeros(1, 1, length, 8, device="cpu")
        return ops(trace(lambda x: F.scaled_dot_product_attention(x, x, x), x).graph)

    assert "softmax" in made(16) and "attention" not in made(16)
    assert "attention" in made(1024) and "softmax" not in made(1024)


def test_large_heads_and_empty_sizes_are_composed(device: Device) -> None:
    large = wf.tensor(drawn(2, 3, 300), device=device.name)
    expected = torch.nn.functional.scaled_dot_product_attention(*[torch.from_numpy(large.numpy())] * 3)
    found = F.scaled_dot_product_attention(large, large, large)
    numpy.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-5)
    empty = wf.zeros(2, 0, 4, device=device.name)
    assert tuple(F.scaled_dot_product_attention(empty, large[..., :4], large[..., :2]).shape) == (2, 0, 2)
    assert not functional.suits(empty, empty, empty)


MISTAKES: dict[str, tuple[tuple[Any, ...], type[Exception], str]] = {
    "rank": (((2, 3, 4), (2, 3, 1, 4), (2, 3, 1, 4)), ShapeError, r"query's shape is \(2, 3, 4\), expected \(batch, length"),
    "large": (((1, 1, 1, 300), (1, 1, 1, 300), (1, 1, 1, 4)), ShapeError, "the last at most 256"),
    "heads": (((1, 2, 3, 4), (1, 2, 2, 4), (1, 2, 2, 4)), ShapeError, r"key's shape is \(1, 2, 2, 4\), expected \(1, length, heads that divide 3, 4\)"),
    "values": (((1, 2, 2, 4), (1, 2, 2, 4), (1, 3, 2, 4)), ShapeError, r"value's shape is \(1, 3, 2, 4\)"),
    "mask": (((1, 2, 2, 4), (1, 2, 2, 4), (1, 2, 2, 4), (1, 1, 2, 3)), ShapeError, r"mask's shape is \(1, 1, 2, 3\), expected \(1, 2, 2, 2\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str) -> None:
    shapes, error, message = MISTAKES[name]
    types = [TensorType(shape, dtypes.float32) for shape in shapes]
    with pytest.raises(error, match=message):
        OPS["attention"].infer(*types, causal=False, scale=1.0)


def test_types_must_agree() -> None:
    q, k = TensorType((1, 2, 2, 4), dtypes.float32), TensorType((1, 2, 2, 4), dtypes.float16)
    with pytest.raises(DTypeError, match="key's dtype is float16, expected float32"):
        OPS["attention"].infer(q, k, q, causal=False, scale=1.0)
    with pytest.raises(DTypeError, match="mask's dtype is float16, expected bool or float32"):
        OPS["attention"].infer(q, q, q, TensorType((1, 1, 2, 2), dtypes.float16), causal=False, scale=1.0)
    with pytest.raises(
        ShapeError, match=r"attn_mask's shape is \(3, 2\), expected one that broadcasts to \(2, 2\)"
    ):
        x = wf.zeros(2, 4, device="cpu")
        F.scaled_dot_product_attention(x, x, x, wf.zeros(3, 2, device="cpu"))


LEAST = -3.4028235e38


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("length", [3, 200])
def test_masks_of_the_least_number(device: Device, dtype: str, length: int) -> None:
    """Keys under the type's least number share a row that has no others; a row of -inf alone is 0."""
    least = float(torch.finfo(getattr(torch, dtype)).min)
    q, k, v = (drawn(1, 2, count, 8, seed=at) for at, count in enumerate((length, 260, 260)))
    mask = numpy.zeros((length, 260), "float32")
    mask[0], mask[1, 7:], mask[2] = least, least, -math.inf
    mask[2, 100:110] = least
    given = [torch.tensor(array).to(getattr(torch, dtype)) for array in (q, k, v, mask)]
    own = torch.nn.functional.scaled_dot_product_attention(*given[:3], attn_mask=given[3])
    mine = [wf.tensor(value.float().numpy(), device=device.name).to(getattr(wf, dtype)) for value in given]
    mine = [tensor.requires_grad_() for tensor in mine[:3]] + mine[3:]
    out = F.scaled_dot_product_attention(*mine[:3], attn_mask=mine[3])
    bound = 1e-5 if dtype == "float32" else 2e-2
    numpy.testing.assert_allclose(out.detach().float().numpy(), own.float().numpy(), rtol=bound, atol=bound)
    (out * out).sum().backward()
    # PyTorch's plain form in float32 of the same numbers: its fused one gives each key of such a row a weight of 1
    theirs = [value.float().requires_grad_() for value in given[:3]]
    with torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH]):
        wide = torch.nn.functional.scaled_dot_product_attention(*theirs, attn_mask=given[3].float())
    (wide * wide).sum().backward()
    for ours, reference in zip(mine[:3], theirs, strict=True):
        scale = float(reference.grad.abs().max())
        got, expected = ours.grad.float().numpy(), reference.grad.numpy()
        numpy.testing.assert_allclose(got, expected, rtol=bound, atol=bound * scale)
    hidden = torch.full((length, 260), -math.inf)
    everything = wf.tensor(hidden.numpy(), device=device.name).to(getattr(wf, dtype))
    nothing = F.scaled_dot_product_attention(*mine[:3], attn_mask=everything).detach()
    own = torch.nn.functional.scaled_dot_product_attention(*given[:3], attn_mask=hidden.to(given[0].dtype))
    numpy.testing.assert_array_equal(nothing.float().numpy(), own.detach().float().numpy())


@pytest.mark.parametrize("hidden", [-1e9, float(numpy.finfo("float32").min)])
def test_rows_that_a_finite_mask_hides(device: Device, hidden: float) -> None:
    """Their keys have equal weights, in the gradients too, by the kernels of both devices."""
    given = operands(device, 1, 2, 1, 37, 70, 8, 4)
    with wf.no_grad():
        given[0][:, 5] = 0.0  # beside so large a mask scores count in float64 and not in float32
    mask = numpy.zeros((1, 1, 37, 70), "float32")
    mask[:, :, 5], mask[:, :, 6, :65] = hidden, hidden
    found, expected = both(given, [wf.tensor(mask, device=device.name)], False, 0.5)
    for at in (0, 2, 3, 4):
        numpy.testing.assert_allclose(found[at], expected[at], rtol=1e-5, atol=2e-5)
    assert abs(expected[2][:, 5]).max() > 0.01


@pytest.mark.parametrize("rate", [0.0, 1e-9], ids=["", "dropout"])
@pytest.mark.parametrize("length", [64, 700])
@pytest.mark.parametrize(("dtype", "digits"), [("float16", 11), ("bfloat16", 8)])
def test_16_bits_are_rounded_at_the_end(
    device: Device, dtype: str, digits: int, length: int, rate: float
) -> None:
    """Against float64: the error is that of rounding the result, whether the weights are kept or not."""
    if device.name != "cpu" and length > 64 and rate:
        pytest.skip("the same composed form as of few weights, and slow on a software driver")
    draw = numpy.random.default_rng(0)
    given = [draw.uniform(-9, 9, (1, 2, length, 16)) for _ in range(3)]
    narrow = [
        wf.tensor(value.astype("float32"), device=device.name).to(getattr(wf, dtype)) for value in given
    ]
    q, k, v = (value.float().numpy().astype("float64") for value in narrow)
    scores = q @ k.swapaxes(-1, -2) / 4
    weights = numpy.exp(scores - scores.max(-1, keepdims=True))
    expected = (weights / weights.sum(-1, keepdims=True)) @ v
    got = F.scaled_dot_product_attention(*narrow, dropout_p=rate).float().numpy()
    numpy.testing.assert_allclose(got, expected, rtol=2.0**-digits, atol=1e-4)


@pytest.mark.parametrize(("dtype", "digits"), [("float16", 11), ("bfloat16", 8)])
def test_gradients_of_added_masks_in_16_bits(device: Device, dtype: str, digits: int) -> None:
    """Scores as large as 80 lose no digits on the way to the mask's gradient."""
    draw = numpy.random.default_rng(1)
    given = [draw.uniform(-5, 5, (1, 2, 40, 16)).astype("float32") for _ in range(3)]
    narrow = [wf.tensor(value, device=device.name).to(getattr(wf, dtype)) for value in given]
    mask = wf.tensor(draw.uniform(-1, 1, (40, 40)).astype("float32"), device=device.name).to(
        getattr(wf, dtype)
    )
    found = []
    for wide in (False, True):
        operands, added = ([value.float() for value in narrow], mask.float()) if wide else (narrow, mask)
        added = added.detach().requires_grad_()
        q, k, v = (operand.permute(0, 2, 1, 3) for operand in operands)
        options = {"causal": False, "scale": 0.25}
        out = bind(OPS["attention"], q, k, v, added.reshape(1, 1, 40, 40), **options)[0]
        out.float().sum().backward()
        found.append(added.grad.float().numpy())
    bound = 2.0**-digits * numpy.abs(found[1]).max()
    numpy.testing.assert_allclose(found[0], found[1], rtol=2.0 ** (1 - digits), atol=bound)
