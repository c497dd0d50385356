"""Products and convolutions in 16 bits that are large enough to be converted for the CPU's tuned forms."""

from __future__ import annotations

import numpy
import pytest

import weft as wf
from weft.ops.matmul.linear import HALF_ALONE

F = wf.nn.functional
BOUNDS = {"float16": 1e-3, "bfloat16": 8e-3}


def drawn(device, dtype: str, *shape: int, seed: int = 0):
    values = numpy.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")
    return wf.tensor(values, device=device.name).to(getattr(wf, dtype))


def wide(tensor):
    return tensor.detach().float().numpy().astype("float64")


def close(found, expected, dtype: str) -> None:
    numpy.testing.assert_allclose(
        wide(found), expected, rtol=BOUNDS[dtype], atol=BOUNDS[dtype] * abs(expected).max()
    )


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_products(device, dtype: str, batch: tuple[int, ...]) -> None:
    a, b = drawn(device, dtype, *batch, 96, 88), drawn(device, dtype, 96, 88, seed=1).t()
    a, b = a.requires_grad_(), b.detach().requires_grad_()
    assert HALF_ALONE < 96 * 88 * 96
    product = a @ b
    close(product, wide(a) @ wide(b), dtype)
    seed = drawn(device, dtype, *product.shape, seed=2)
    product.backward(seed)
    close(a.grad, wide(seed) @ wide(b).T, dtype)
    rows, grads = wide(a).reshape(-1, 88), wide(seed).reshape(-1, 96)
    close(b.grad, rows.T @ grads, dtype)
    out = wf.empty(*batch, 192, 96, dtype=getattr(wf, dtype), device=device.name)
    with wf.no_grad():
        out[..., ::2, :] = a @ b  # a strided target
    close(out[..., ::2, :], wide(a) @ wide(b), dtype)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [((2, 8, 24, 24), (16, 8, 3, 3), {"padding": 1}), ((2, 8, 24, 24), (16, 4, 3, 3), {"groups": 2, "stride": 2}),
     ((2, 16, 200), (32, 16, 5), {"dilation": 2}), ((1, 4, 9, 9, 9), (16, 4, 3, 3, 3), {})],
)  # fmt: skip
def test_convolutions_and_their_gradients(device, dtype: str, shape, kernel, options) -> None:
    convolve = getattr(F, f"conv{len(shape) - 2}d")
    x, w = (
        drawn(device, dtype, *shape).requires_grad_(),
        drawn(device, dtype, *kernel, seed=1).requires_grad_(),
    )
    left, right = (operand.detach().float().requires_grad_() for operand in (x, w))
    found, expected = convolve(x, w, **options), convolve(left, right, **options)
    close(found, wide(expected), dtype)
    seed = drawn(device, dtype, *found.shape, seed=2)
    found.backward(seed)
    expected.backward(seed.float())
    close(x.grad, wide(left.grad), dtype)
    close(w.grad, wide(right.grad), dtype)
