"""Each function's definition against mpmath and extended precision, within the accuracy that its row states."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from tests.expr.arithmetic import EDGES, bits_of_every_kind, run, ulps
from weft import dtypes
from weft.expr import FUNCTIONS, Expr, call, definition, expand, variable, walk

X, Y = (variable(name, dtypes.float32) for name in "xy")
COUNT = 30_000

RANGES = {
    "exp": (-110, 95), "exp2": (-155, 130), "expm1": (-20, 95), "log": (0, 4), "log2": (0, 4), "log1p": (-1, 4),
    "tanh": (-11, 11), "sigmoid": (-100, 20), "erf": (-5, 5), "sin": (-1e5, 1e5), "cos": (-1e5, 1e5),
    "tan": (-1e5, 1e5), "softplus": (-100, 30), "erfc": (-5, 11), "gelu": (-8, 8),
    "rsqrt": (0, 10), "silu": (-80, 20), "log10": (0, 4), "sinh": (-91, 91), "cosh": (-91, 91), "atan": (-5, 5),
    "asin": (-1, 1), "acos": (-1, 1), "asinh": (-5000, 5000), "acosh": (1, 5000), "atanh": (-1, 1),
}  # fmt: skip
"""Where each function is sampled densely, besides random bit patterns and the edges."""

LIMITS = {"silu": 80.0, "gelu": 8.0}
"""Magnitudes up to which the stated accuracy holds, where it does not hold everywhere."""

SLOW = {
    "erf": lambda x: mpmath.erf(x) if x else x,  # mpmath has no -0
    "erfc": mpmath.erfc,
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2 if x else x,
}
"""What only mpmath has in extended precision, a value at a time."""


def longdouble(name: str, x: Any) -> Any:
    """Return the function in extended precision."""
    x = x.astype("longdouble")
    if name in SLOW:
        exact = [SLOW[name](float(value)) for value in x]
        return np.array([mpmath.nstr(0 if 0 < abs(v) < 1e-300 else v, 25) for v in exact]).astype(
            "longdouble"
        )
    decay = np.exp(-np.abs(x))
    sigmoid = np.where(x >= 0, 1, decay) / (1 + decay)
    own = {
        "sigmoid": lambda: sigmoid, "silu": lambda: x * sigmoid, "rsqrt": lambda: 1 / np.sqrt(x),
        "softplus": lambda: np.maximum(x, 0) + np.log1p(decay),
    }  # fmt: skip
    return own[name]() if name in own else getattr(np, FUNCTIONS[name].reference)(x)


def samples(name: str) -> Any:
    low, high = RANGES[name]
    random = np.random.default_rng(7)
    near = [
        random.uniform(low, high, COUNT),
        random.uniform(-1, 1, COUNT),
        1 + random.uniform(-1e-3, 1e-3, COUNT),
    ]
    if name in ("sin", "cos", "tan"):  # where the result is nearly 0, all digits come from the reduction
        multiples = (np.arange(-63_000, 63_000) * (np.pi / 2)).astype("float32")
        near += [multiples, np.nextafter(multiples, np.float32(0))]
    keep = 20 if name in SLOW else 1
    x = np.concatenate([EDGES, *(part[::keep] for part in (bits_of_every_kind(COUNT), *near))]).astype(
        "float32"
    )
    limit = LIMITS.get(name, math.inf)
    return x[~(np.abs(x) > limit) | np.isinf(x)] if limit < math.inf else x


@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
@pytest.mark.parametrize("name", sorted(RANGES))
def test_a_definition_is_as_accurate_as_its_row_says(name: str, fused: bool) -> None:
    x = samples(name)
    with np.errstate(all="ignore"):
        reference = longdouble(name, x)
        if name in ("silu", "gelu"):  # -inf * 0, as in PyTorch
            reference[np.isneginf(x)] = np.nan
    got = run(call(name, X), {"x": x}, fused)
    error = ulps(got, reference)
    worst = int(np.argmax(error))
    assert error[worst] <= FUNCTIONS[name].accuracy, (
        f"{name}({x[worst]!r}) is {got[worst]!r}, {reference[worst]!r}"
    )
    zero = reference == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(reference[zero]), f"{name}: sign of zero")


def powers() -> tuple[Any, Any]:
    """Return bases and exponents whose powers are within float32, near 1 and far from it, and all pairs of edges."""
    random = np.random.default_rng(3)
    bases = [
        np.abs(bits_of_every_kind(COUNT)), 1 + random.uniform(-1e-2, 1e-2, COUNT), random.uniform(0.5, 2, COUNT),
        1 + random.integers(-50, 50, COUNT) * 2.0**-24,
    ]  # fmt: skip
    x = np.concatenate(bases).astype("float32")
    with np.errstate(all="ignore"):
        y = (random.uniform(-150, 129, len(x)) / np.log2(x.astype("float64"))).astype("float32")
    first, second = np.meshgrid(EDGES, EDGES)
    whole = random.integers(-12, 12, COUNT), random.uniform(-10, 10, COUNT)
    return (
        np.concatenate([x, first.ravel(), whole[1]]).astype("float32"),
        np.concatenate([y, second.ravel(), whole[0]]).astype("float32"),
    )


def planes() -> tuple[Any, Any]:
    """Return points of the plane: of every size, near the axes and diagonals, and all pairs of edges."""
    random = np.random.default_rng(4)
    first, second = np.meshgrid(EDGES, EDGES)
    close = random.uniform(-2, 2, COUNT)
    x = [bits_of_every_kind(COUNT), close, random.uniform(-9, 9, COUNT), first.ravel()]
    y = [
        bits_of_every_kind(COUNT)[::-1],
        close * (1 + random.uniform(-1e-3, 1e-3, COUNT)),
        random.uniform(-9, 9, COUNT),
    ]
    return np.concatenate(x).astype("float32"), np.concatenate([*y, second.ravel()]).astype("float32")


@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
@pytest.mark.parametrize("name", ["atan2", "hypot"])
def test_functions_of_the_plane(name: str, fused: bool) -> None:
    x, y = planes()
    with np.errstate(all="ignore"):
        reference = getattr(np, FUNCTIONS[name].reference)(x.astype("longdouble"), y.astype("longdouble"))
    got = run(call(name, *[variable(p, dtypes.float32) for p in FUNCTIONS[name].parameters]),
              dict(zip(FUNCTIONS[name].parameters, (x, y), strict=True)), fused)  # fmt: skip
    error = ulps(got, reference)
    worst = int(np.argmax(error))
    assert error[worst] <= FUNCTIONS[name].accuracy, f"{name}({x[worst]!r}, {y[worst]!r}) is {got[worst]!r}"
    defined = ~np.isnan(reference)
    np.testing.assert_array_equal(np.signbit(got[defined]), np.signbit(reference[defined]))


@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
def test_pow_is_that_of_ieee(fused: bool) -> None:
    x, y = powers()
    with np.errstate(all="ignore"):
        reference = np.power(x.astype("longdouble"), y.astype("longdouble"))
    got = run(call("pow", X, Y), {"x": x, "y": y}, fused)
    error = ulps(got, reference)
    worst = int(np.argmax(error))
    assert error[worst] <= FUNCTIONS["pow"].accuracy, f"pow({x[worst]!r}, {y[worst]!r}) is {got[worst]!r}"
    defined = ~np.isnan(reference)
    np.testing.assert_array_equal(np.signbit(got[defined]), np.signbit(reference[defined]))


def pairs(dtype: dtypes.DType) -> tuple[Any, Any]:
    if dtype.kind == "float":
        first, second = np.meshgrid(EDGES, EDGES)
        random = np.random.default_rng(5).uniform(-100, 100, (2, 5000)).astype("float32")
        return np.concatenate([first.ravel(), random[0]]), np.concatenate([second.ravel(), random[1]])
    info = np.iinfo(dtype.numpy)
    edge = np.array([0, 1, 2, 3, 7, 10, info.max, info.max - 1, info.min, info.min + 1], dtype.numpy)
    if dtype.kind == "int":
        edge = np.concatenate([edge, -edge[1:6]])
    first, second = np.meshgrid(edge, edge)
    return first.ravel(), second.ravel()


@pytest.mark.parametrize("dtype", [dtypes.int32, dtypes.int64, dtypes.uint32], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("name", ["floordiv", "mod"])
def test_integer_division_rounds_down(name: str, dtype: dtypes.DType) -> None:
    x, y = pairs(dtype)
    a, b = variable("x", dtype), variable("y", dtype)
    got = run(call(name, a, b), {"x": x, "y": y}, fused=False)
    python = (lambda p, q: p // q) if name == "floordiv" else (lambda p, q: p % q)
    expected = [python(int(p), int(q)) if q else 0 for p, q in zip(x, y, strict=True)]
    wrapped = np.array([value % (1 << dtype.bits) for value in expected], f"uint{dtype.bits}").astype(
        dtype.numpy
    )
    np.testing.assert_array_equal(got, wrapped)


@pytest.mark.parametrize("name", ["floordiv", "mod", "fmod"])
def test_float_division_rounds_down(name: str) -> None:
    x, y = pairs(dtypes.float32)
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name].numpy(x, y)
    for fused in (False, True):
        got = run(call(name, X, Y), {"x": x, "y": y}, fused)
        if name == "floordiv":  # a quotient of more than 24 bits is rounded to a neighbour
            with np.errstate(all="ignore"):
                long = np.abs(x / y) >= 2**21
            np.testing.assert_allclose(got[long], expected[long], rtol=3e-7)
            np.testing.assert_array_equal(got[~long], expected[~long])
        else:
            np.testing.assert_array_equal(got, expected)


def test_choices_keep_nan_and_signs() -> None:
    x, y = (grid.ravel() for grid in np.meshgrid(EDGES, EDGES))
    for name in ("maximum", "minimum", "copysign"):
        got = run(call(name, X, Y), {"x": x, "y": y}, fused=False)
        np.testing.assert_array_equal(got, FUNCTIONS[name].numpy(x, y))
    for name in ("sign", "relu", "isnan", "isinf", "isfinite", "square", "abs"):
        with np.errstate(all="ignore"):
            expected = FUNCTIONS[name].numpy(EDGES)
        np.testing.assert_array_equal(run(call(name, X), {"x": EDGES}, fused=False), expected)


def typed(name: str, dtype: dtypes.DType) -> Expr:
    function = FUNCTIONS[name]
    args = [variable(parameter, dtype) for parameter in function.parameters]
    if name == "where":
        args[0] = variable("c", dtypes.bool_)
    return call(name, *args)


COMPUTED = [dtype for dtype in dtypes.ALL if dtype.compute is dtype]
TYPED = [
    (name, dtype)
    for name, row in FUNCTIONS.items()
    for dtype in COMPUTED
    if dtype.kind[0] in row.kinds and not (row.single and dtype is dtypes.float64)
]


@pytest.mark.parametrize(("name", "dtype"), TYPED, ids=[f"{name}-{dtype.name}" for name, dtype in TYPED])
def test_every_row_reaches_every_target(name: str, dtype: dtypes.DType) -> None:
    """A row has, for each type that it accepts, a template, a C function, or a definition that leads to templates."""
    function = FUNCTIONS[name]
    by_c = dtype is dtypes.float64 and function.double is not None
    llvm = by_c or dtype.kind[0] in (function.llvm or {})
    made = definition(name, (dtype,) * len(function.parameters)) if not by_c else None
    assert llvm or made is not None, "no way to LLVM"
    if dtype is not dtypes.float64:
        assert function.wgsl is not None or made is not None, "no way to WGSL"
    for node in walk(expand(typed(name, dtype))):
        row = FUNCTIONS.get(node.function)
        if row is not None and dtype is not dtypes.float64:
            assert row.wgsl is not None, f"{name} leads to {node.function}, which WGSL lacks"
    if made is not None:
        expected = typed(name, dtype).dtype
        assert made.dtype is expected, (
            f"the definition of {name} gives {made.dtype.name}, not {expected.name}"
        )


@pytest.mark.parametrize("name", sorted(RANGES))
def test_the_numpy_reference_is_the_function(name: str) -> None:
    """The reference column, in float64, is compared with an independent computation in extended precision."""
    x = np.random.default_rng(1).uniform(*np.clip(RANGES[name], -30, 30), 500)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(FUNCTIONS[name].numpy(x), longdouble(name, x), rtol=1e-12, atol=1e-300)


def whole(low: int, high: int) -> Any:
    return np.random.default_rng(8).integers(low, high, 2000, endpoint=True).astype("float32")


def between(low: float, high: float) -> Any:
    return np.random.default_rng(9).uniform(low, high, 2000).astype("float32")


NORMAL = np.abs(bits_of_every_kind(4000))
NORMAL = NORMAL[np.isfinite(NORMAL) & (np.frexp(NORMAL)[1] > -126)]
ANGLES = bits_of_every_kind(3000)
ANGLES = ANGLES[np.isfinite(ANGLES)]
PIECES = {
    "power_of_two": [whole(-126, 127)],
    "scaled": [between(1, 2), whole(-252, 120)],
    "short": [NORMAL],
    "mantissa": [NORMAL],
    "exponent": [NORMAL],
    "expm1_near": [between(-0.3466, 0.3466)],
    "exp_near": [between(-0.3466, 0.3466)],
    "exp2_near": [between(-0.5, 0.5)],
    "log1p_rest": [between(-0.29, 0.41)],
    "turns": [ANGLES],
    "turns_rest": [ANGLES],
    "quadrant": [ANGLES],
    "mod_half_pi": [ANGLES],
    "mod_half_pi_rest": [ANGLES],
    "sin_near": [between(-0.7854, 0.7854), between(-1e-8, 1e-8)],
    "cos_near": [between(-0.7854, 0.7854), between(-1e-8, 1e-8)],
    "asin_ratio": [between(1e-6, 0.25)],
    "atan_near": [between(-0.4142, 0.4142)],
}
EXACT = {"power_of_two", "short", "mantissa", "exponent", "turns", "turns_rest", "quadrant"}


def test_every_piece_of_a_definition_is_tested() -> None:
    made_of_bits = {name for name, row in FUNCTIONS.items() if row.single and row.definition}
    assert set(PIECES) == made_of_bits


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_is_its_reference_on_its_range(name: str) -> None:
    function, given = FUNCTIONS[name], PIECES[name]
    got = run(call(name, *[variable(p, dtypes.float32) for p in function.parameters]),
              dict(zip(function.parameters, given, strict=True)), fused=False)  # fmt: skip
    expected = function.numpy(*given)
    if name in EXACT:
        np.testing.assert_array_equal(got, expected)
    elif (
        name == "mod_half_pi_rest"
    ):  # the rounding error of a float32, which affects only the last places of the sum
        main = FUNCTIONS["mod_half_pi"].numpy(*given)
        rounded = run(call("mod_half_pi", X), {"x": given[0]}, fused=False)
        total = rounded.astype("longdouble") + got
        np.testing.assert_allclose(total.astype("float64"), main.astype("float64") + expected, rtol=2e-9)
    else:
        np.testing.assert_allclose(got, expected, rtol=4e-7)
