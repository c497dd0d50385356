"""inf, nan, signed zeros, huge and tiny numbers through every floating point op, against PyTorch and NumPy.

Denormal numbers may be flushed to zero, as WGSL allows; all else is as IEEE 754 says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from tests.ops.arrays import assert_equal, from_weft, to_weft
from weft import dtypes
from weft.ops import FUNCTIONS, OPS

SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 3.4e38, -3.4e38, 1.2e-38, -1.2e-38, 0.5, -2.5, 88.0, -88.0, 1e-8,
     16777216.0, 7.0, 1e20, -1e-20],
    dtype="float32",
)  # fmt: skip
POINTWISE = [
    name for name, op in OPS.items() if "pointwise" in op.info and "." not in name and name in FUNCTIONS
]
UNARY = [
    n
    for n in POINTWISE
    if len(OPS[n].info["pointwise"].parameters) == 1 and "f" in OPS[n].info["pointwise"].kinds
]
BINARY = [
    n
    for n in POINTWISE
    if len(OPS[n].info["pointwise"].parameters) == 2
    and "f" in OPS[n].info["pointwise"].kinds
    and (FUNCTIONS[n].op is not None or n == "pow")  # not those whose second operand is a number in PyTorch
]


def _remainder(x: Any, y: Any) -> Any:
    """PyTorch's rule on NumPy's exact ``fmod``."""
    rest = np.fmod(x, y)
    return np.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)


LONG: dict[str, Callable[..., Any]] = {
    "fmod": np.fmod, "remainder": _remainder, "floor_divide": np.floor_divide
}  # fmt: skip
"""Functions of a quotient, with NumPy's."""


def theirs(name: str) -> Callable[..., torch.Tensor]:
    return getattr(torch, name, None) or getattr(torch.nn.functional, name)  # type: ignore[return-value]


def is_tiny(values: Any) -> Any:
    return (np.abs(values) < 1.1754944e-38) & (values != 0)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize(
    "dtype", [dtypes.float32, dtypes.float16, dtypes.bfloat16], ids=lambda dtype: dtype.name
)
def test_functions_of_special_values(device: Any, name: str, dtype: dtypes.DType) -> None:
    with np.errstate(all="ignore"):
        given = SPECIAL.astype(dtype.numpy)
    if name in (
        "sin",
        "cos",
        "tan",
        "sinc",
    ):  # their argument is reduced in float32: exact to the last place only below 2^20
        given = given[np.abs(np.nan_to_num(given.astype("float64"), posinf=0, neginf=0)) < 1e6]
    expected = theirs(name)(torch.tensor(given.astype("float64"))).numpy()
    got = from_weft(FUNCTIONS[name].function(to_weft(given, device.name)))
    with np.errstate(all="ignore"):
        rounded = expected.astype(got.dtype)
    assert_equal(got, rounded, name, 2)
    zeros = (rounded == 0) & ~is_tiny(expected)
    if got.dtype != np.bool_ and name not in ("sign", "sgn", "sinc"):  # the sign of -0 is -0 here
        np.testing.assert_array_equal(
            np.signbit(got[zeros]), np.signbit(rounded[zeros]), err_msg=f"{name}: signs of zeros"
        )


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_special_values(device: Any, name: str) -> None:
    left, right = (grid.copy() for grid in np.meshgrid(SPECIAL, SPECIAL, indexing="ij"))
    expected = theirs(name)(torch.tensor(left), torch.tensor(right)).numpy()
    got = from_weft(FUNCTIONS[name].function(to_weft(left, device.name), to_weft(right, device.name)))
    # a result may be flushed, or come from an operand that was
    compared = ~is_tiny(expected)
    if name in LONG:  # PyTorch's overflow, or round, where the quotient is long: NumPy's are exact
        with np.errstate(all="ignore"):
            long = (
                np.isfinite(left) & np.isfinite(right) & (np.abs(left.astype("float64") / right) >= 2.0**21)
            )
            expected = np.where(long & (right != 0), LONG[name](left, right), expected)
            if name == "floor_divide":
                compared &= np.isfinite(expected) | ~long
    assert_equal(got[compared], expected[compared], name, 2)
    if name in ("maximum", "minimum"):
        return  # of +0 and -0 either may be given
    zeros = (expected == 0) & compared
    if got.dtype != np.bool_ and name != "pow":
        np.testing.assert_array_equal(
            np.signbit(got[zeros]), np.signbit(expected[zeros]), err_msg=f"{name}: signs of zeros"
        )


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin"])
@pytest.mark.parametrize("rows", [3, 70])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_reductions_of_special_values(device: Any, name: str, rows: int, value: float) -> None:
    given = np.random.default_rng(0).uniform(-1, 1, (rows, 5)).astype("float32")
    given[1, 2], given[2, 3] = value, -value
    given[0, 2] = 7
    for dim in (0, 1):
        expected = theirs(name)(torch.tensor(given), dim).numpy()
        assert_equal(from_weft(FUNCTIONS[name].function(to_weft(given, device.name), dim)), expected, name, 4)


def test_positions_of_special_values(device: Any) -> None:
    given = np.array(
        [[1, np.nan, 3, np.nan], [np.inf, 2, np.inf, -np.inf], [-np.inf] * 4, [0.0, -0.0, 0.0, 5]], "float32"
    )
    x = to_weft(given, device.name)
    assert wf.argmax(x, 1).tolist() == torch.argmax(torch.tensor(given), 1).tolist() == [1, 0, 0, 3]
    assert wf.argmin(x, 1).tolist() == [1, 3, 0, 0]


def test_softmax_of_extremes(device: Any) -> None:
    given = np.array([[1e4, 1e4, 0], [-np.inf, 0, 0], [3e38, -3e38, 0], [1, np.nan, 0]], "float32")
    for name in ("softmax", "log_softmax"):
        expected = theirs(name)(torch.tensor(given), 1).numpy()
        assert_equal(from_weft(FUNCTIONS[name].function(to_weft(given, device.name), 1)), expected, name, 2)


@pytest.mark.parametrize("source", [dtypes.float32, dtypes.float16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(
    "target", [dtypes.float16, dtypes.bfloat16, dtypes.bool_], ids=lambda dtype: dtype.name
)
def test_casts_of_special_values(device: Any, source: dtypes.DType, target: dtypes.DType) -> None:
    values = [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        65504.0,
        65519.9,
        65520.0,
        1e38,
        6e-8,
        2.98e-8,
        1.00048828125,
        1.0014648,
        1e-40,
    ]
    with np.errstate(all="ignore"):
        given = np.array(values, "float32").astype(source.numpy)
        expected = given.astype(target.numpy)
    if target is dtypes.bool_:
        expected = given != 0
    got = from_weft(to_weft(given, device.name).to(target))
    normal = ~is_tiny(given.astype("float32"))
    plain = [
        result[normal].astype("float32") for result in (got, expected)
    ]  # NumPy compares bfloat16's NaN by bits
    np.testing.assert_array_equal(*plain)


def test_integers_wrap(device: Any) -> None:
    for dtype in (dtypes.int32, dtypes.int16, dtypes.int8, dtypes.uint8, dtypes.uint32):
        limits = np.iinfo(dtype.numpy)
        x = wf.tensor(np.array([limits.max, limits.min, 3], dtype.numpy), dtype=dtype, device=device.name)
        with np.errstate(over="ignore"):
            host = x.numpy().copy()
            for got, expected in (
                (x + x, host + host),
                (x * x, host * host),
                (x - x * x, host - host * host),
            ):
                np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_nan_and_infinity_reach_their_whole_row(device: Any, name: str) -> None:
    """The reduction to the largest element may lose NaN; the sum of the row must not."""
    rows = np.random.default_rng(0).standard_normal((6, 67)).astype("float32")
    rows[1, 3] = rows[2, 66] = np.nan
    rows[3, 5] = np.inf
    rows[4] = -np.inf
    rows[5, 1:] = -np.inf
    expected = getattr(torch, name)(torch.tensor(rows), 1).numpy()
    got = from_weft(FUNCTIONS[name].function(to_weft(rows, device.name), 1))
    assert_equal(got, expected, name, 2)


def test_a_number_over_itself_is_one(device: Any) -> None:
    """Exact quotients are exact, though drivers divide by an approximate reciprocal."""
    x = np.concatenate([np.arange(1, 5000), np.geomspace(1e-29, 1e38, 5000)]).astype("float32")
    with np.errstate(over="ignore"):
        multiples = (x * 3).astype("float32")
    ours, three = to_weft(x, device.name), to_weft(multiples, device.name)
    np.testing.assert_array_equal(from_weft(ours / ours), np.ones_like(x))
    whole = np.isfinite(multiples) & (multiples.astype("float64") == x.astype("float64") * 3)
    np.testing.assert_array_equal(from_weft(three / ours)[whole], np.full(whole.sum(), 3, "float32"))


@pytest.mark.parametrize("name", ["fmod", "remainder"])
def test_remainders_of_long_quotients(device: Any, name: str) -> None:
    """Remainders of finite numbers of all magnitudes are exact, as NumPy's; denormal results may be flushed."""
    draw = np.random.default_rng(5)
    x, y = (
        (np.exp2(draw.uniform(-125, 127, 20000)) * draw.choice([-1, 1], 20000)).astype("float32")
        for _ in range(2)
    )
    expected = LONG[name](x, y)
    got = from_weft(FUNCTIONS[name].function(to_weft(x, device.name), to_weft(y, device.name)))
    compared = ~is_tiny(expected)
    np.testing.assert_array_equal(got[compared], expected[compared])
    assert (np.abs(got) < np.abs(y)).all() or name == "remainder"
    ten = to_weft(np.array([1e10, -1e10, 1e30], "float32"), device.name)
    np.testing.assert_array_equal(
        from_weft(ten % 3), _remainder(np.array([1e10, -1e10, 1e30], "float32"), np.float32(3))
    )


@pytest.mark.parametrize("target", ["int32", "int16", "int8", "uint8"])
def test_nan_and_large_numbers_become_integers(device: Any, target: str) -> None:
    """Numbers saturate to 32 bits and wrap to the type, and NaN gives 0, on every device."""
    given = np.array(
        [np.nan, np.inf, -np.inf, 1e10, -1e10, 3e9, 2147483520.0, 300.7, -1.5, -129.0, 0.0], "float32"
    )
    wide = np.array(
        [0, 2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 2**31 - 1, 2147483520, 300, -1, -129, 0], "int64"
    )
    for count in (len(given), 8):
        got = from_weft(to_weft(given[:count], device.name).to(getattr(wf, target)))
        np.testing.assert_array_equal(got, wide[:count].astype(target))
    x = to_weft(given[7:10], device.name)
    assert x.to(wf.int64).tolist() == [300, -1, -129]


TOTALS: dict[str, tuple[Any, int]] = {
    "large": (np.full(10, 1 << 30, "int64"), 0),
    "negative": (np.full((4, 5), -(1 << 30), "int64"), 1),
    "long": (np.full(200000, 20000, "int64"), 0),
    "int32": (np.full(3, (1 << 31) - 1, "int32"), 0),
}


@pytest.mark.parametrize("name", TOTALS)
def test_int64_sums_that_leave_the_range(device: Any, name: str) -> None:
    """A sum is right where int64 has 64 bits; elsewhere it is an error at the next read, never a wrapped number."""
    given, dim = TOTALS[name]
    x = wf.tensor(given, device=device.name)
    for call in (lambda: x.sum(dim), lambda: wf.jit(lambda t: t.sum(dim))(x)):
        if device.name == "cpu":
            np.testing.assert_array_equal(from_weft(call()), given.sum(dim, dtype="int64"))
        else:
            with pytest.raises(
                wf.errors.NumberRangeError, match=r"sum.*: the total does not fit the 32 bits"
            ):
                call().tolist()
    few = x.reshape(-1)[:1]
    assert int(few.sum()) == given.reshape(-1)[0]  # the device goes on


def test_int64_sums_within_the_range(device: Any) -> None:
    """Sums that cancel, and sums up to the limits of 32 bits, are right."""
    draw = np.random.default_rng(2)
    half = draw.integers(-(2**31) + 1, 2**31 - 1, 30000)
    ends = np.array([[2**31 - 1, 0, 0], [-(2**31), 0, 0], [2**31 - 2, 2, -1], [-(2**31) + 1, -2, 1]])
    for given in (np.concatenate([half, -half, [7]]), ends, np.concatenate([ends[:3]] * 2, 1) // 2):
        got = from_weft(wf.tensor(given, device=device.name).sum(-1))
        np.testing.assert_array_equal(got, given.sum(-1))
    assert int(wf.ones(1 << 17, dtype=wf.bool, device=device.name).sum()) == 1 << 17
