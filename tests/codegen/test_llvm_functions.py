"""Every scalar function as LLVM writes it, one at a time and in vector lanes, against NumPy."""

from __future__ import annotations

import itertools
import warnings

import numpy
import pytest

from tests.codegen.llvm_run import Array, operand, run, same_bits
from weft import dtypes
from weft.codegen.llvm.shortcuts import by_shortcuts
from weft.dtypes import DType
from weft.errors import ExpressionError, KernelError
from weft.expr import FUNCTIONS, Expr, call, cast, const, evaluate, load, variable, walk
from weft.expr.define import expand
from weft.expr.node import INDEX
from weft.kernels import Axis, Builder, Part, Store

KINDS = {
    "f": (dtypes.float32, dtypes.float64), "i": (dtypes.int32, dtypes.int64), "u": (dtypes.uint32,),
    "b": (dtypes.bool_,),
}  # fmt: skip


EVERY = [(name, each) for name, row in FUNCTIONS.items() for kind in row.kinds for each in KINDS[kind]]


def expanded(name: str, dtype: DType) -> Expr:
    """The function as primitives of this target, over its parameters."""
    types = [dtype] * len(FUNCTIONS[name].parameters)
    if name == "where":
        types[0] = dtypes.bool_
    named = zip(FUNCTIONS[name].parameters, types, strict=True)
    return expand(call(name, *(variable(parameter, each) for parameter, each in named)), wide=True)


def needs_32_bits(name: str, dtype: DType) -> bool:
    """Whether a function is made of bit patterns, which only 32-bit types have, and is given another type."""
    try:
        nodes = walk(expanded(name, dtype))
    except ExpressionError:
        return True
    return any(node.function == "bits" and node.args[0].dtype.bits == 64 for node in nodes)


CASES = [case for case in EVERY if not needs_32_bits(*case)]

POSITIVE = numpy.array([0.0, 1.0, 0.5, 2.5, 1e-40, 80.0, numpy.inf, numpy.nan])
SPECIAL = numpy.concatenate([POSITIVE, -POSITIVE])


def samples(dtype: DType, count: int, seed: int) -> Array:
    """Values of a type: special ones and many ordinary ones."""
    generator = numpy.random.default_rng(seed)
    if dtype.kind == "bool":
        return generator.integers(0, 2, count).astype(bool)
    if dtype.kind == "float":
        ordinary = generator.normal(0, 4, count)
        special = generator.choice(SPECIAL, count)
        return numpy.where(generator.random(count) < 0.5, special, ordinary).astype(dtype.numpy)
    low, high = (0, 2**32) if dtype.kind == "uint" else (-(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1))
    wide = generator.integers(low, high, count, dtype.numpy)
    small = generator.integers(0 if dtype.kind == "uint" else -9, 10, count).astype(dtype.numpy)
    return numpy.where(generator.random(count) < 0.5, wide, small)


def compute(name: str, dtype: DType, operands: list[Array], lanes: bool) -> Array:
    """The function over arrays of one length; in vector lanes where asked: as what is stored inside a reduction."""
    size = len(operands[0])
    builder = Builder(f"each_{name}")
    columns = builder.reduce_axes((size,)) if lanes else builder.axes((size,))
    types = [dtypes.from_numpy(array.dtype) for array in operands]
    loads = [builder.load(operand(index, (size,), each), columns) for index, each in enumerate(types)]
    value = call(name, *loads)
    result = operand(len(types), (size,), value.dtype)
    if lanes:
        builder.reduce("max", cast(loads[-1], dtypes.float32))
    builder.store(result, columns, value, inner=lanes)
    return run(builder.finish(), [*operands, numpy.zeros(size, value.dtype.numpy)])[-1]


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=[f"{name}-{dtype.name}" for name, dtype in CASES])
def test_function(name: str, dtype: DType) -> None:
    function = FUNCTIONS[name]
    types = [dtype] * len(function.parameters)
    if name == "where":
        types[0] = dtypes.bool_
    operands = [samples(each, 403, seed) for seed, each in enumerate(types)]
    if name in ("shl", "shr"):
        operands[1] = operands[1] & (dtype.bits - 1)
    if name in ("idiv", "irem", "ceil_div"):  # for numbers that are not negative, and small enough to add
        operands = [array & 0xFFFFFFF for array in operands]
        operands[1] |= 1
    if name in ("floordiv", "mod", "fmod"):
        # the definition of fmod for other targets loses denormal divisors
        operands[1][abs(operands[1]) < 1e-30] = 3
    if name == "hurwitz":  # is for orders above 1 and positive arguments
        operands = [
            numpy.nan_to_num(abs(array), posinf=3).clip(0, 20) + numpy.asarray(1.5, dtype.numpy)
            for array in operands
        ]
    if name == "scaled":  # by whole powers of two
        operands[1] = numpy.clip(numpy.nan_to_num(operands[1]), -250, 250).round()
    single = compute(name, dtype, operands, lanes=False)
    assert same_bits(single, compute(name, dtype, operands, lanes=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = evaluate(expanded(name, dtype), dict(zip(function.parameters, operands, strict=True)))
    assert single.dtype == expected.dtype
    if single.dtype.kind != "f":
        numpy.testing.assert_array_equal(single, expected)
        return
    # A primitive is rounded once. Definitions may differ by contraction: NumPy has none (their own tests measure
    # their accuracy in units in the last place; here it is that LLVM computes the same thing at all).
    primitive = name not in ("fma", "lgamma") and (function.llvm or dtype.bits == 64 and function.double)
    scales = {(True, 32): 1.2e-7, (True, 64): 5e-16, (False, 32): 1e-4, (False, 64): 1e-10}
    scale = scales[bool(primitive), dtype.bits]
    close = numpy.isclose(single, expected, rtol=scale, atol=0.0 if primitive else scale / 10, equal_nan=True)
    wrong = numpy.flatnonzero(~close)[:5]
    assert close.all(), [(*(array[at] for array in operands), single[at], expected[at]) for at in wrong]


def test_bit_patterns_of_64_bits_are_refused() -> None:
    for name, dtype in EVERY:
        if (name, dtype) not in CASES:
            operands = [samples(dtype, 3, 0)] * len(FUNCTIONS[name].parameters)
            with pytest.raises((KernelError, ExpressionError), match=r"float64( given)?, expected"):
                compute(name, dtype, operands, lanes=False)


INTEGERS = [0, 1, -1, 7, -7, 2**31 - 1, -(2**31)]


@pytest.mark.parametrize("lanes", [False, True])
def test_integer_division_never_traps(lanes: bool) -> None:
    pairs = numpy.array(list(itertools.product(INTEGERS, INTEGERS)), numpy.int32)
    x, y = pairs[:, 0].copy(), pairs[:, 1].copy()
    quotients, remainders = (compute(name, dtypes.int32, [x, y], lanes) for name in ("idiv", "irem"))
    rows = (array.tolist() for array in (x, y, quotients, remainders))
    for a, b, quotient, remainder in zip(*rows, strict=True):
        if b == 0 or (a, b) == (-(2**31), -1):
            assert (quotient, remainder) == (a, 0)  # as WGSL has it
        else:
            assert quotient == int(a / b)
            assert remainder == a - b * int(a / b)


@pytest.mark.parametrize("dtype", [dtypes.int32, dtypes.uint32, dtypes.int64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("name", ["shl", "shr"])
def test_shift_distances_count_modulo_the_width(name: str, dtype: DType) -> None:
    distances = numpy.arange(130).astype(dtype.numpy)
    values = samples(dtype, 130, 3)
    within = distances & (dtype.bits - 1)
    single = compute(name, dtype, [values, distances], lanes=False)
    assert same_bits(single, compute(name, dtype, [values, within], lanes=True))


def test_casts() -> None:
    types = [dtypes.float32, dtypes.float64, dtypes.int32, dtypes.int64, dtypes.uint32, dtypes.bool_]
    for source, target in itertools.product(types, types):
        given = samples(source, 67, 1)
        if source.kind == "float" and target.kind in ("int", "uint"):
            given = numpy.nan_to_num(numpy.clip(given, 0, 100))
        for lanes in (False, True):
            builder = Builder("convert")
            columns = builder.reduce_axes((67,)) if lanes else builder.axes((67,))
            loaded = builder.load(operand(0, (67,), source), columns)
            if lanes:
                builder.reduce("any", cast(loaded, dtypes.bool_))
            builder.store(operand(1, (67,), target), columns, cast(loaded, target), inner=lanes)
            result = run(builder.finish(), [given, numpy.zeros(67, target.numpy)])[1]
            numpy.testing.assert_array_equal(result, given.astype(target.numpy), f"{source} to {target}")


def test_floats_saturate_to_integers() -> None:
    given = numpy.array([1e30, -1e30, numpy.inf, -numpy.inf, numpy.nan, 2.9, -2.9], numpy.float32)
    builder = Builder("saturate")
    columns = builder.axes((7,))
    loaded = builder.load(operand(0, (7,)), columns)
    builder.store(operand(1, (7,), dtypes.int32), columns, cast(loaded, dtypes.int32))
    result = run(builder.finish(), [given, numpy.zeros(7, numpy.int32)])[1]
    assert result.tolist() == [2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 0, 2, -2]


@pytest.mark.parametrize("name", [name for name, row in FUNCTIONS.items() if row.shortcut])
def test_a_shortcut_is_the_same_beside_rare_cases(name: str) -> None:
    """Blocks without rare cases are done by the shortcut alone, others by both forms: with the same bits."""
    random = numpy.random.default_rng(0)
    count = len(FUNCTIONS[name].parameters)
    ordinary = [random.uniform(0.01, 30, 20_000).astype(numpy.float32) for _ in range(count)]
    mixed = [values.copy() for values in ordinary]
    for position, values in enumerate(mixed):
        values[position::7] = numpy.resize([numpy.nan, numpy.inf, 1e30], values[position::7].size)
    kept = numpy.all([now == before for now, before in zip(mixed, ordinary, strict=True)], axis=0)
    assert 0 < kept.sum() < kept.size
    alone, beside = (compute(name, dtypes.float32, given, lanes=False)[kept] for given in (ordinary, mixed))
    numpy.testing.assert_array_equal(beside.view(numpy.int32), alone.view(numpy.int32))


def test_conditions_of_shortcuts_are_asked_where_that_is_cheap() -> None:
    i, x = variable("i", INDEX), load("x", variable("i", INDEX), dtypes.float32)
    points = (Axis(i, const(4, INDEX)),)

    def asked(value: Expr) -> bool:
        return by_shortcuts(Part(points, (Store("z", i, value),))) is not None

    assert asked(call("sin", x) + call("pow", x, x))
    assert not asked(call("exp", x))
    assert not asked(call("sin", call("erfc", x)))
