"""Every function of the table in WGSL, scalar and vector, against its NumPy reference in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy
import pytest

from tests.codegen.wgsl_run import dispatch
from tests.conftest import ADAPTER
from weft import devices, dtypes
from weft.dtypes import DType
from weft.expr import FUNCTIONS, const, load, variable
from weft.expr.functions import Function
from weft.expr.node import INDEX, Expr, call
from weft.kernels import Axis, Buffer, Kernel, Part, Store

pytestmark = pytest.mark.webgpu
Array = numpy.ndarray[Any, Any]

EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    10.0,
    -10.0,
    88.0,
    -87.0,
    1e-20,
    -1e-20,
    1e20,
    3e38,
    -3e38,
]
SPECIAL = [*EDGES, numpy.inf, -numpy.inf, numpy.nan]
KINDS = {"f": dtypes.float32, "i": dtypes.int32, "u": dtypes.uint32, "b": dtypes.bool_}


def operands(function: Function, dtype: DType) -> list[Array]:
    """Values for each parameter: combinations of edges, then random ones of many sizes."""
    rng = numpy.random.default_rng(7)
    arity = len(function.parameters)
    if dtype.kind == "float":
        edges = numpy.array(list(itertools.product(SPECIAL, repeat=min(arity, 2))), "float32").T
        rest = rng.standard_normal((arity, 3000)) * 10.0 ** rng.uniform(-3, 1.5, (arity, 3000))
    elif dtype.kind == "bool":
        edges, rest = (
            numpy.array(list(itertools.product([False, True], repeat=arity))).T,
            rng.random((arity, 50)) > 0.5,
        )
    else:
        small = [0, 1, 2, 7, 31, 2**31 - 1] if function.name not in ("shl", "shr") else [0, 1, 2, 7, 31, 30]
        small += [-1, -7, -(2**31)] if dtype.kind == "int" and function.name not in ("shl", "shr") else []
        edges = numpy.array(list(itertools.product(small, repeat=min(arity, 2)))).T
        rest = rng.integers(0, 1000, (arity, 500))
        if function.name in ("shl", "shr"):
            rest[1] %= 32
    rows = [numpy.resize(edges[axis % edges.shape[0]], edges.shape[1]) for axis in range(arity)]
    return [numpy.concatenate([row, more]).astype(dtype.numpy) for row, more in zip(rows, rest, strict=True)]


def kernel_of(function: Function, types: list[DType], count: int, vector: int) -> tuple[Kernel, DType]:
    i = variable("i", INDEX)
    node: Expr = call(function.name, *[load(f"x{n}", i, dtype.compute) for n, dtype in enumerate(types)])
    buffers = [Buffer(f"x{n}", dtype) for n, dtype in enumerate(types)]
    part = Part((Axis(i, const(count, INDEX)),), (Store("z", i, node),))
    return Kernel(
        function.name, (*buffers, Buffer("z", node.dtype, "read_write")), (), (part,), vector
    ), node.dtype


CASES = [
    pytest.param(function, KINDS[kind], id=f"{function.name}-{KINDS[kind].name}")
    for function in FUNCTIONS.values()
    # pieces of definitions hold on ranges that their owners' tests state; here only what kernels use directly
    if not function.single or function.name == "bits"
    for kind in function.kinds
]


@pytest.mark.parametrize(("function", "dtype"), CASES)
def test_function(function: Function, dtype: DType) -> None:
    """Within the accuracy that the table states, for special values too."""
    gpu = devices.open(ADAPTER)
    types = [dtype] * len(function.parameters)
    given = operands(function, dtype)
    if function.name == "where":
        types[0], given[0] = dtypes.bool_, given[0] > 0
    if function.name in ("idiv", "irem"):
        given[1][given[1] <= 0] = 3
    if function.name == "ceil_div":
        given = [
            numpy.abs(given[0].astype("int64")) % 10**6,
            numpy.maximum(1, given[1].astype("int64") % 1000),
        ]
        given = [array.astype(dtype.numpy) for array in given]
    count = given[0].size
    wide = [a.astype("float64") if dtype.kind == "float" and not function.single else a for a in given]
    if function.name in ("bits", "copysign"):
        wide = given
    with numpy.errstate(all="ignore"):
        want = numpy.asarray(function.numpy(*wide))
    for vector in (1, 4):
        kernel, result = kernel_of(function, types, count, vector)
        buffers = [*zip(types, given, strict=True), (result, numpy.zeros(count, result.numpy))]
        got = dispatch(gpu, kernel, buffers, [])[-1]
        if result.kind == "float":
            check_floats(function, got, want, given)
        else:
            defined = numpy.ones(count, bool)
            numpy.testing.assert_array_equal(got[defined], want.astype(result.numpy)[defined])


def exempt(function: Function, got: Array, want: Array, given: list[Array]) -> Array:
    """Where the table promises less: quotients beyond 2**22, sums whose terms cancel, what a function is not for."""
    with numpy.errstate(all="ignore"):
        wide = [array.astype("float64") for array in given]
        if function.name in ("fmod", "mod", "floordiv"):
            found: Array = numpy.abs(wide[0] / wide[1]) > 2**22
        elif function.name == "fma":
            size = numpy.abs(wide[0] * wide[1]) + numpy.abs(wide[2])
            found = (numpy.abs(got - want) < 1e-6 * size) | (size > 3e38)
        elif function.name in ("gelu", "normal"):
            found = numpy.abs(got - want) < 2e-6
        elif function.name in ("lgamma", "digamma", "trigamma", "zeta", "hurwitz"):  # their roots cancel
            found = numpy.abs(got - want) < 3e-5 * numpy.maximum(numpy.abs(want), 1)
            found |= (function.name == "zeta") & numpy.isinf(wide[0])  # PyTorch: NaN, or 1 and infinity by q
            if function.name == "hurwitz":
                found |= ~((wide[0] > 1) & (wide[0] < 60) & (wide[1] > 0) & numpy.isfinite(wide[1]))
        else:
            found = numpy.zeros(want.shape, bool)
        if function.name in ("quotient", "fmod", "mod", "floordiv"):
            # WGSL bounds the error of x / y for 2**-126 <= |y| <= 2**126
            found |= numpy.abs(wide[1]) > 2**126
        return found | ((numpy.abs(want) < 2**-126) & (got == 0))  # GPUs may flush subnormal numbers


def check_floats(function: Function, got: Array, want: Array, given: list[Array]) -> None:
    with numpy.errstate(all="ignore"):
        nearest = want.astype("float32")
        error = numpy.abs(got.astype("float64") - want) / numpy.spacing(
            numpy.abs(nearest).clip(1.1754944e-38, 3e38)
        )
    numbers = numpy.isfinite(nearest)
    wrong = numpy.isnan(got) != numpy.isnan(nearest)
    wrong |= numpy.isinf(nearest) & (got != nearest)
    wrong |= numbers & ~(error <= max(function.accuracy, 0.5) + 2.5)
    wrong &= ~exempt(function, got, want, given)
    bad = numpy.flatnonzero(wrong)[:8]
    detail = [
        (tuple(float(a[i]) for a in given), float(got[i]), float(nearest[i]), float(error[i])) for i in bad
    ]
    assert not wrong.any(), f"{function.name}: {wrong.sum()} of {wrong.size} wrong: {detail}"
