"""Derived kernels through the LLVM generator: index spaces, parts, checks, threads, and how the IR reads."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codegen.llvm_run import Array, contiguous, cpu, operand, run, same_bits
from tests.codegen.test_llvm_reductions import fold, softmax
from weft import codegen, dtypes
from weft.errors import IndexOutOfRangeError, KernelError
from weft.expr import Expr, call, cast, const, parse, substitute, variable
from weft.kernels import Axis, Buffer, Builder, Kernel, KernelStep, Library, Operand, Part, Store
from weft.target import CPU, Parameter

GOLDEN = Path(__file__).parent / "golden"


def add(shape: tuple[int, ...], strides: tuple[int, ...] | None = None, static: bool = False) -> KernelStep:
    """``operand 2 = operand 0 * 2 + operand 1``, operand 0 with strides."""
    builder = Builder("add", static=static)
    axes = builder.axes(shape)
    value = builder.load(operand(0, shape, strides=strides), axes) * 2 + builder.load(operand(1, shape), axes)
    builder.store(operand(2, shape), axes, value)
    return builder.finish()


def cat(sizes: tuple[int, ...]) -> KernelStep:
    """All operands concatenated in the last operand, a part each."""
    builder = Builder("cat")
    total = operand(len(sizes), (sum(sizes),))
    first = 0
    for number, size in enumerate(sizes):
        axes = builder.axes((size,))
        start = builder.integer(f"start{number}", first)
        builder.store(total, [axes[0] + start], builder.load(operand(number, (size,)), axes))
        builder.end_part()
        first += size
    return builder.finish()


def embedding(rows: int, count: int, width: int) -> KernelStep:
    """Rows of operand 0 by the indices in operand 1, checked, into operand 2."""
    builder = Builder("embedding")
    i, j = builder.axes((count, width))
    index = builder.load(operand(1, (count,), dtypes.int64), [i])
    size = builder.integer("rows", rows)
    valid = parse("(index >= 0) & (index < rows)", {"index": dtypes.int64, "rows": dtypes.int64})
    valid = substitute(valid, {variable("index", dtypes.int64): index, variable("rows", dtypes.int64): size})
    builder.check(valid, index)
    safe = call("where", valid, index, 0)
    builder.store(operand(2, (count, width)), [i, j], builder.load(operand(0, (rows, width)), [safe, j]))
    return builder.finish()


def strided_cast() -> KernelStep:
    """A transposed bfloat16 matrix as float16."""
    builder = Builder("strided_cast")
    axes = builder.axes((4, 6))
    source = Operand(0, dtypes.bfloat16, (4, 6), (1, 4), slot=0)
    builder.store(operand(1, (4, 6), dtypes.float16), axes, builder.load(source, axes))
    return builder.finish()


def centre(shape: tuple[int, int]) -> KernelStep:
    """Rows less their largest value: a fold, then a store at every point of it."""
    builder = Builder("centre")
    rows, columns = builder.axes(shape[:1]), builder.reduce_axes(shape[1:])
    value = builder.load(operand(0, shape), rows + columns)
    builder.store(operand(1, shape), rows + columns, value - builder.reduce("max", value), inner=True)
    return builder.finish()


LISTINGS = {
    "add_contiguous": lambda: add((100,)),
    "sum_rows": lambda: fold("sum", (8, 40), (1,), dtypes.float32),
    "sum_columns": lambda: fold("sum", (8, 40), (0,), dtypes.float32),
    "centre_rows": lambda: centre((8, 40)),
    "strided_cast": strided_cast,
    "embedding_checked": lambda: embedding(10, 3, 4),
    "matmul": lambda: KernelStep(Library("matmul", (dtypes.float32,) * 3), (0, 1, 2), ()),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_listing(name: str) -> None:
    """The IR is as reviewed; WEFT_REGENERATE=1 writes it anew after a change that is meant."""
    profile = dataclasses.replace(CPU, features=CPU.features | {"blas"})
    source = codegen.generate(LISTINGS[name]().kernel, profile).source
    path = GOLDEN / f"{name}.ll"
    if os.environ.get("WEFT_REGENERATE") == "1":
        path.write_text(source)
    assert source == path.read_text(), f"{path.name} differs; if that is meant, run with WEFT_REGENERATE=1"


def strided_case(shape: tuple[int, ...], steps: tuple[int, ...]) -> tuple[Array, tuple[int, ...], Array]:
    """A base array, the strides of a stepped view of it, and that view."""
    whole = [size * step for size, step in zip(shape, steps, strict=True)]
    base = numpy.random.default_rng(0).normal(size=whole).astype(numpy.float32)
    view = base[tuple(slice(None, None, step) for step in steps)]
    return base, tuple(stride // 4 for stride in view.strides), view


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3)), min_size=0, max_size=5),
    st.booleans(),
)
def test_pointwise_over_any_shape(axes: list[tuple[int, int]], static: bool) -> None:
    shape, steps = tuple(size for size, _ in axes), tuple(step for _, step in axes)
    base, strides, view = strided_case(shape, steps)
    other = numpy.random.default_rng(1).normal(size=shape).astype(numpy.float32)
    result = run(add(shape, strides, static), [base, other, numpy.zeros(shape, numpy.float32)])[2]
    numpy.testing.assert_allclose(result, view * 2 + other, rtol=1e-6)


def test_broadcast_operands() -> None:
    """Strides of 0, inner and outer."""
    builder = Builder("outer")
    axes = builder.axes((7, 33))
    row, column = operand(0, (7, 33), strides=(0, 1)), operand(1, (7, 33), strides=(1, 0))
    builder.store(operand(2, (7, 33)), axes, builder.load(row, axes) - builder.load(column, axes))
    a, b = numpy.arange(33, dtype=numpy.float32), numpy.arange(7, dtype=numpy.float32)
    result = run(builder.finish(), [a, b, numpy.zeros((7, 33), numpy.float32)])[2]
    numpy.testing.assert_array_equal(result, a - b[:, None])


@pytest.mark.parametrize("width", [5, 40])
@pytest.mark.parametrize(
    "dtype", [dtypes.float32, dtypes.int16, dtypes.int8, dtypes.bool_], ids=lambda dtype: dtype.name
)
def test_padding_is_a_masked_row(width: int, dtype: dtypes.DType) -> None:
    """Loads that only some elements of a row need, in lanes."""
    builder = Builder("pad")
    i, j = builder.axes((3, width + 4))
    column = j - 2
    valid = (column >= 0) & (column < width)
    loaded = builder.load(operand(0, (3, width), dtype), [i, column], valid=valid, other=1)
    builder.store(operand(1, (3, width + 4), dtype), [i, j], loaded)
    step = builder.finish()
    assert "masked.load" in codegen.generate(step.kernel, CPU).source
    array = numpy.random.default_rng(0).integers(0, 2, (3, width)).astype(dtype.numpy)
    result = run(step, [array, numpy.zeros((3, width + 4), dtype.numpy)])[1]
    numpy.testing.assert_array_equal(result, numpy.pad(array, ((0, 0), (2, 2)), constant_values=1))


SCALARS = [
    (dtypes.float32, 0.1), (dtypes.float64, 0.1), (dtypes.int32, -5), (dtypes.int64, -(2**40)),
    (dtypes.uint32, 2**32 - 1), (dtypes.float32, numpy.inf), (dtypes.float32, 1e300),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "number"), SCALARS)
def test_python_scalars(dtype: dtypes.DType, number: float) -> None:
    builder = Builder("scalar")
    axes = builder.axes((3,))
    scalar = Operand(0, dtype, scalar=True)
    builder.store(operand(1, (3,), dtype), axes, builder.load(scalar, axes))
    with numpy.errstate(over="ignore"):
        wanted = numpy.full(3, numpy.float64(number) if dtype.kind == "float" else number).astype(dtype.numpy)
    result = run(builder.finish(), [numpy.zeros(0), numpy.zeros(3, dtype.numpy)], scalars={0: number})[1]
    assert same_bits(result, wanted)


@pytest.mark.parametrize("sizes", [(1,), (3, 0, 5), (40_000, 1, 70_000), (0, 0)])
def test_parts_run_side_by_side(sizes: tuple[int, ...]) -> None:
    pieces = [numpy.random.default_rng(size).normal(size=size).astype(numpy.float32) for size in sizes]
    result = run(cat(sizes), [*pieces, numpy.zeros(sum(sizes), numpy.float32)])[-1]
    numpy.testing.assert_array_equal(result, numpy.concatenate(pieces))


def test_several_outputs_see_the_values_from_before() -> None:
    """An optimizer's step: every value is computed before anything is overwritten."""
    builder = Builder("swap")
    axes = builder.axes((50,))
    a, b = operand(0, (50,)), operand(1, (50,))
    x, y = builder.load(a, axes), builder.load(b, axes)
    builder.store(a, axes, y + 1)
    builder.store(b, axes, x - 1)
    given = [numpy.arange(50, dtype=numpy.float32), -numpy.arange(50, dtype=numpy.float32)]
    first, second = run(builder.finish(), given)
    numpy.testing.assert_array_equal(first, given[1] + 1)
    numpy.testing.assert_array_equal(second, given[0] - 1)


def test_values_of_one_slot_are_one_buffer() -> None:
    """Two halves of a storage, one read and one written, by offsets."""
    builder = Builder("halves")
    axes = builder.axes((100,))
    low = Operand(0, dtypes.float32, (100,), (1,), slot=5)
    high = Operand(1, dtypes.float32, (100,), (1,), slot=5)
    builder.store(high, axes, builder.load(low, axes) * 3)
    step = builder.finish()
    assert step.buffers == (0,)
    storage = numpy.arange(200, dtype=numpy.float32)
    result = run(step, [storage], offsets={0: 0, 1: 100})[0]
    numpy.testing.assert_array_equal(result[100:], storage[:100] * 3)


def test_checks_report_the_first_index_out_of_range() -> None:
    table = numpy.arange(40, dtype=numpy.float32).reshape(10, 4)
    good, bad = numpy.array([0, 9, 3]), numpy.array([2, 10, -1])
    out = numpy.zeros((3, 4), numpy.float32)
    step = embedding(10, 3, 4)
    numpy.testing.assert_array_equal(run(step, [table, good, out])[2], table[good])
    with pytest.raises(IndexOutOfRangeError, match=r"^embedding: index 10 is out of range"):
        run(step, [table, bad, out], report=("embedding", "index"))
    numpy.testing.assert_array_equal(run(step, [table, good, out])[2], table[good])  # and is forgotten


def test_checks_inside_reductions() -> None:
    builder = Builder("gather_sum")
    (i,) = builder.axes((2,))
    (r,) = builder.reduce_axes((40,))
    index = builder.load(operand(1, (2, 40), dtypes.int64), [i, r])
    valid = (index >= 0) & (index < 8)
    builder.check(valid, index, inner=True)
    value = builder.load(operand(0, (8,)), [call("where", valid, index, 0)])
    builder.store(operand(2, (2,)), [i], builder.reduce("sum", value))
    step = builder.finish()
    indices = numpy.random.default_rng(0).integers(0, 8, (2, 40))
    table = numpy.arange(8, dtype=numpy.float32)
    out = numpy.zeros(2, numpy.float32)
    numpy.testing.assert_array_equal(run(step, [table, indices, out])[2], table[indices].sum(1))
    indices[1, 39] = -4
    with pytest.raises(IndexOutOfRangeError, match="index -4 is out of range"):
        run(step, [table, indices, out], report=("gather_sum", "index"))


def big_steps() -> dict[str, tuple[KernelStep, list[Array]]]:
    """Kernels large enough for two threads, with what they are given."""
    generator = numpy.random.default_rng(0)
    wide = generator.normal(size=(301, 1003)).astype(numpy.float32)
    flat = numpy.zeros(301 * 1003, numpy.float32)
    builder = Builder("silu")
    axes = builder.axes((301 * 1003,))
    loaded = builder.load(operand(0, (301 * 1003,)), axes)
    builder.store(operand(1, (301 * 1003,)), axes, loaded * call("sigmoid", loaded) + loaded * 3)
    base, strides, _ = strided_case((301, 1003), (1, 2))
    return {
        "silu": (builder.finish(), [wide, flat]),
        "strided add": (add((301, 1003), strides), [base, wide, numpy.zeros_like(wide)]),
        "sum rows": (fold("sum", wide.shape, (1,), dtypes.float32), [wide, flat[:301]]),
        "sum columns": (fold("sum", wide.shape, (0,), dtypes.float32), [wide, flat[:1003]]),
        "softmax": (softmax((301, 1003)), [wide, numpy.zeros_like(wide), flat[:301]]),
    }


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    for name, (step, arrays) in big_steps().items():
        one, *others = ([*run(step, arrays, device=cpu(threads))] for threads in (1, 2, 3, 7))
        for other in others:
            assert all(same_bits(a, b) for a, b in zip(one, other, strict=True)), name


def kernel(name: str = "named", **changes: object) -> Kernel:
    """A well-formed kernel, changed."""
    i = variable("i", dtypes.int64)
    part = Part((Axis(i, const(4, dtypes.int64)),), (Store("out", i, cast(i, dtypes.float32)),))
    whole = Kernel(
        name, (Buffer("out", dtypes.float32, "read_write"),), (Parameter("n", dtypes.int64),), (part,)
    )
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]


def part_of(value: Expr, index: Expr | None = None, size: Expr | None = None) -> tuple[Part, ...]:
    i = variable("i", dtypes.int64)
    return (Part((Axis(i, size or const(4, dtypes.int64)),), (Store("out", index or i, value),)),)


ILL_FORMED = {
    "names that are not plain": (kernel('x" }} define'), "name 'x\" }} define' given, expected letters"),
    "buffer names": (kernel(buffers=(Buffer("a b", dtypes.float32, "read_write"),)), "name 'a b' given"),
    "a name twice": (kernel(parameters=(Parameter("out", dtypes.int64),)), "a name is used twice"),
    "order": (
        kernel(buffers=(Buffer("out", dtypes.float32, "read_write"), Buffer("in", dtypes.float32))),
        "buffers are read_write, read, expected read ones first",
    ),
    "parameter types": (kernel(parameters=(Parameter("n", dtypes.float16),)), "parameter n is float16"),
    "sizes": (
        kernel(parts=part_of(const(1, dtypes.float32), size=variable("n", dtypes.int64) * 2)),
        "axis size mul",
    ),
    "buffers": (
        kernel(parts=part_of(parse("float32(x)", {"x": dtypes.float32}))), "variable x is not an axis",
    ),
    "computed types": (
        kernel(parts=part_of(cast(-cast(variable("i", dtypes.int64), dtypes.float16), dtypes.float32))),
        "has type float16, expected a type of arithmetic",
    ),
    "library kernels": (Library("nothing", (dtypes.float32,)), "library kernel 'nothing' has no template in llvm; loaded so far: "),
    "matmul types": (Library("matmul", (dtypes.float16,) * 3), r"types \(float16, float16, float16\) given"),
}  # fmt: skip


@pytest.mark.parametrize("case", ILL_FORMED)
def test_ill_formed_kernels_are_refused(case: str) -> None:
    given, message = ILL_FORMED[case]
    with pytest.raises(KernelError, match=message):
        codegen.generate(given, CPU)


def test_equal_kernels_are_one_text() -> None:
    """Sizes, strides and offsets are parameters; with ``static`` they are constants."""
    one, other = add((4, 6), (12, 2)).kernel, add((9, 2), (4, 2)).kernel
    assert codegen.generate(one, CPU) is codegen.generate(other, CPU)
    fixed = codegen.generate(add((4, 6), static=True).kernel, CPU)
    assert fixed.workgroup_count[0] == "24"
    assert contiguous((4, 6)) == (6, 1)
