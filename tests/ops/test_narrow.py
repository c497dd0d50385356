"""float16 and bfloat16: composites round once, and no intermediate of a reduction or norm overflows or underflows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import weft as wf
import weft.nn.functional as F
from tests.ops.arrays import Placed, from_weft, to_weft
from tests.ops.cases import FUNCTION_CASES
from tests.ops.test_functions import leaves, placed, rebuilt, results_of
from weft import dtypes
from weft.dtypes import DType
from weft.ops import FUNCTIONS

NARROW = (dtypes.float16, dtypes.bfloat16)
Array = Any

DRAWS = ("dropout", "rand_like", "randn_like", "bernoulli")
ROUNDING = [name for name in FUNCTION_CASES if name not in DRAWS]


@pytest.mark.parametrize("dtype", NARROW, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("name", ROUNDING)
def test_functions_round_once(device: Any, name: str, dtype: DType) -> None:
    """The result of each function on 16-bit operands is its float32 result on the same numbers, rounded."""
    for case in FUNCTION_CASES[name]:
        if dtype not in case.dtypes and case is not FUNCTION_CASES[name][0]:
            continue
        given = leaves(placed(case, dtype, "dense"))
        arrays = [value.array if isinstance(value, Placed) else value for value in given]
        if not any(isinstance(array, np.ndarray) and array.dtype == dtype.numpy for array in arrays):
            continue
        wide = [
            array.astype("float32") if isinstance(array, np.ndarray) and array.dtype == dtype.numpy else array
            for array in arrays
        ]
        try:
            got, expected = (_results(name, case, each, device.name) for each in (arrays, wide))
        except wf.errors.DTypeError:  # a function of integers
            assert dtype not in case.dtypes
            continue
        for position, (mine, own) in enumerate(zip(got, expected, strict=True)):
            if getattr(mine, "dtype", None) is dtype and own.dtype is dtypes.float32:
                _assert_rounded(from_weft(mine), from_weft(own), f"{name}, result {position}")


def _results(name: str, case: Any, flat: list[Any], device: str) -> list[Any]:
    tensors = [to_weft(value, device) if isinstance(value, np.ndarray) else value for value in flat]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return results_of(FUNCTIONS[name].function(*rebuilt(case, tensors), **case.keywords))


def _assert_rounded(got: Array, wide: Array, where: str) -> None:
    """Assert that numbers are correctly rounded; numbers near half-way between two results may round either way."""
    with np.errstate(over="ignore"):
        low, high = ((wide * np.float32(1 + sign * 2.0**-18)).astype(got.dtype) for sign in (-1, 1))
    inside = ((got >= np.minimum(low, high)) & (got <= np.maximum(low, high))) | np.isnan(wide)
    assert inside.all(), f"{where}: {got[~inside][:4]} of {wide[~inside][:4]}"
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wide), err_msg=where)


# Near the ends of the types. References are in float64, rounded once.

Reference = Callable[[Array], Array]


def _p_norm(p: float) -> Reference:
    return lambda x: (np.abs(x) ** p).sum(-1) ** (1 / p)


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _normalised(x: Array, center: bool, eps: float) -> Array:
    centred = x - x.mean(-1, keepdims=True) if center else x
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)


def _unit(x: Array, eps: float = 1e-12) -> Array:
    return x / np.maximum(np.sqrt((x**2).sum(-1, keepdims=True)), eps)


FOLDS: dict[str, tuple[Callable[[Any], Any], Reference]] = {
    "sum": (lambda x: x.sum(-1), lambda x: x.sum(-1)),
    "mean": (lambda x: x.mean(-1), lambda x: x.mean(-1)),
    "nansum": (lambda x: wf.nansum(x, -1), lambda x: x.sum(-1)),
    "nanmean": (lambda x: wf.nanmean(x, -1), lambda x: x.mean(-1)),
    "amax": (lambda x: x.amax(-1), lambda x: x.max(-1)),
    "amin": (lambda x: x.amin(-1), lambda x: x.min(-1)),
    "var": (lambda x: x.var(-1), lambda x: x.var(-1, ddof=1)),
    "std": (lambda x: x.std(-1), lambda x: x.std(-1, ddof=1)),
    "var_mean": (lambda x: wf.var_mean(x, -1)[1], lambda x: x.mean(-1)),
    "std_mean": (lambda x: wf.std_mean(x, -1)[0], lambda x: x.std(-1, ddof=1)),
    "norm": (lambda x: x.norm(dim=-1), _p_norm(2)),
    "vector_norm": (lambda x: wf.linalg.vector_norm(x, dim=-1), _p_norm(2)),
    "vector_norm of order 1": (lambda x: wf.linalg.vector_norm(x, 1, -1), _p_norm(1)),
    "vector_norm of order 3": (lambda x: wf.linalg.vector_norm(x, 3, -1), _p_norm(3)),
    "vector_norm of order 0.5": (lambda x: wf.linalg.vector_norm(x, 0.5, -1), _p_norm(0.5)),
    "vector_norm of order inf": (lambda x: wf.linalg.vector_norm(x, math.inf, -1), lambda x: np.abs(x).max(-1)),
    "normalize": (lambda x: F.normalize(x, dim=-1), _unit),
    "cosine_similarity": (lambda x: F.cosine_similarity(x, x.flip(-1), dim=-1),
                          lambda x: (_unit(x, 1e-8) * _unit(x[:, ::-1], 1e-8)).sum(-1)),
    "pairwise_distance": (lambda x: F.pairwise_distance(x, -x), lambda x: np.sqrt(((2 * x + 1e-6) ** 2).sum(-1))),
    "logsumexp": (lambda x: wf.logsumexp(x, -1), lambda x: np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1)) + x.max(-1)),
    "softmax": (lambda x: x.softmax(-1), _softmax),
    "rms_norm": (lambda x: F.rms_norm(x, (x.shape[-1],)), lambda x: _normalised(x, False, 2.0**-23)),
    "layer_norm": (lambda x: F.layer_norm(x, (x.shape[-1],)), lambda x: _normalised(x, True, 1e-5)),
    "group_norm": (lambda x: F.group_norm(x, 1), lambda x: _normalised(x, True, 1e-5)),
    "mse_loss": (lambda x: F.mse_loss(x, -x, reduction="none").mean(-1), lambda x: (4 * x**2).mean(-1)),
    "l1_loss": (lambda x: F.l1_loss(x, -x).reshape(1), lambda x: np.abs(2 * x).mean().reshape(1)),
    "triplet_margin_loss": (
        lambda x: F.triplet_margin_loss(x, -x, x / 2, reduction="none"),
        lambda x: np.maximum(np.sqrt(((2 * x + 1e-6) ** 2).sum(-1)) - np.sqrt(((x / 2 + 1e-6) ** 2).sum(-1)) + 1, 0),
    ),
}  # fmt: skip
"""Each reduction of rows, and its reference."""

CANCELLING = ("sum", "mean", "nansum", "nanmean", "var_mean")
"""Reductions that add numbers of both signs."""

SIZES = {
    "large": lambda largest, least: (largest / 8, largest / 2),
    "middling": lambda largest, least: (0.5, 2.0),
    "small": lambda largest, least: (16 * least, 64 * least),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", NARROW, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("name", FOLDS)
def test_folds_near_the_ends_of_the_type(device: Any, name: str, dtype: DType, size: str) -> None:
    # what the type holds, and float32 can raise to the third power: bfloat16 reaches as far as float32
    largest, least = (65504.0, 2.0**-14) if dtype is dtypes.float16 else (2.0**38, 2.0**-38)
    low, high = SIZES[size](largest, least)
    draw = np.random.default_rng(3)
    given = (draw.uniform(low, high, (3, 50)) * draw.choice([-1, 1], (3, 50))).astype(dtype.numpy)
    call, reference = FOLDS[name]
    with np.errstate(over="ignore", under="ignore"):
        expected = np.asarray(reference(given.astype("float64"))).astype("float32")
    got = from_weft(call(to_weft(given, device.name)))
    assert got.dtype == dtype.numpy
    cancelled = (
        2.0**-22 * 50 * high if name in CANCELLING else 2.0**-18 if name == "cosine_similarity" else 0.0
    )
    _assert_close(got, expected, f"{name} of {size} {dtype.name}", cancelled)


def _assert_close(got: Array, wide: Array, where: str, cancelled: float) -> None:
    """Within two units in the last place of what the reference rounds to; infinite exactly where it is.

    ``cancelled``: what float32 may lose where large numbers cancel.
    """
    with np.errstate(over="ignore"):
        rounded = wide.astype(got.dtype)
    digits = 11 if got.dtype == np.float16 else 8
    least = 2.0**-24 if got.dtype == np.float16 else 2.0**-126
    finite = np.isfinite(rounded.astype("float64"))
    np.testing.assert_array_equal(
        got[~finite].astype("float64"), rounded[~finite].astype("float64"), err_msg=where
    )
    off = np.abs(got[finite].astype("float64") - wide[finite].astype("float64"))
    allowed = np.maximum(2.0**-digits * 2 * np.abs(wide[finite]), max(least, cancelled))
    assert (off <= allowed).all(), (
        f"{where}: {got[finite][off > allowed][:4]} of {wide[finite][off > allowed][:4]}"
    )


def test_gradient_of_std_of_a_constant(device: Any) -> None:
    """The gradient of ``std`` and ``std_mean`` of equal numbers is 0, as PyTorch's."""
    import torch

    for given in ([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]], [[0.0] * 3] * 2):
        mine, own = (
            to_weft(np.array(given, "float32"), device.name, True),
            torch.tensor(given, requires_grad=True),
        )
        (mine.std(1).sum() + wf.std_mean(mine, 0)[0].sum()).backward()
        (own.std(1).sum() + torch.std_mean(own, 0)[0].sum()).backward()
        np.testing.assert_allclose(from_weft(mine.grad), own.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_rms_norm_takes_the_epsilon_of_float32(device: Any) -> None:
    import torch

    for name in ("float16", "bfloat16", "float32"):
        given = np.array([[1e-3, 2e-3, -1e-3, 0.0]], "float32")
        mine = F.rms_norm(to_weft(given, device.name).to(getattr(wf, name)), (4,))
        own = torch.nn.functional.rms_norm(torch.tensor(given).to(getattr(torch, name)), (4,))
        np.testing.assert_allclose(
            from_weft(mine.float()), own.float().numpy(), rtol=1e-2 if name != "float32" else 1e-6
        )


@pytest.mark.parametrize("dtype", NARROW, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(
    "name", ["var", "std", "norm", "normalize", "cosine_similarity", "pairwise_distance"]
)
def test_gradients_round_once(device: Any, name: str, dtype: DType) -> None:
    """The gradient of 16-bit numbers is that of the same numbers in float32, rounded."""
    draw = np.random.default_rng(4)
    given = (20.0 + draw.uniform(-1, 1, (3, 40))).astype(dtype.numpy)
    call = {"var": lambda x: x.var(-1), **{key: FOLDS[key][0] for key in FOLDS}}[name]
    narrow, wide = to_weft(given, device.name, True), to_weft(given.astype("float32"), device.name, True)
    for x in (narrow, wide):
        call(x).float().sum().backward()
    bound = 2.0 ** -(10 if dtype is dtypes.float16 else 7)
    expected = from_weft(wide.grad)
    least = max(bound * np.abs(expected).max() / 16, 2.0**-24 if dtype is dtypes.float16 else 0.0)
    np.testing.assert_allclose(from_weft(narrow.grad).astype("float32"), expected, rtol=bound, atol=least)


def test_float32_products_are_scaled_where_it_is_written(device: Any) -> None:
    """A compiled scale that is no power of two rounds the operand, as in eager mode."""
    draw = np.random.default_rng(6)
    first, second = (draw.standard_normal((33, 1)).astype("float32") for _ in range(2))
    a, b = to_weft(first, device.name), to_weft(second, device.name)
    for scale in (0.1, 0.25):  # of one term each, so that the product rounds once more and no sum does
        got = from_weft(wf.jit(lambda a, b, s=scale: (a * s) @ b.T)(a, b))
        np.testing.assert_array_equal(got, (first * np.float32(scale)) * second.T)
