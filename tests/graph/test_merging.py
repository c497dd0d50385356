"""Merging of parts: a merged part computes both parts and stores each element once; other pairs are not merged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weft as wf
from tests.codegen.wgsl_run import run_part
from weft.expr import Expr, call, cast, const, load, variable
from weft.expr.node import INDEX
from weft.graph.fuse.merging import absorbed, attached, dense, inlined
from weft.graph.lower.lowered import LoweredValue
from weft.graph.rewriting.affine import Affine, Cut, affine
from weft.graph.rewriting.parts import cut, fresh, numbered, plain, sizes
from weft.kernels import Axis, Check, Part, Reduction, Store

F32 = wf.float32
ROWS, COLUMNS = 4, 6


def axes(prefix: str, shape: Sequence[int]) -> tuple[Axis, ...]:
    return tuple(Axis(variable(f"{prefix}{at}", INDEX), const(size, INDEX)) for at, size in enumerate(shape))


def at(given: Sequence[Axis]) -> Expr:
    """The position in row-major order."""
    index = const(0, INDEX)
    for axis in given:
        index = index * axis.size + axis.variable
    return index


def pointwise(name: str, shape: Sequence[int], target: str, source: str) -> Part:
    """``target[p] = source[p] * 2 + 1``."""
    own = axes(name, shape)
    return plain(Part(own, (Store(target, at(own), load(source, at(own), F32) * 2.0 + 1.0),)))


def row_sum(name: str, target: str, source: str, rows: int = ROWS, columns: int = COLUMNS) -> Part:
    """``target[i] = sum(source[i, :])``."""
    own, over = axes(name, (rows,)), axes(f"{name}r", (columns,))
    result = variable(f"{name}sum", F32)
    return plain(Part(own, (Store(target, at(own), result),), over,
                (Reduction(result, "sum", load(source, at((*own, *over)), F32)),)))  # fmt: skip


def minus_row(name: str, target: str, source: str, per_row: str) -> Part:
    """``target[i, j] = source[i, j] - per_row[i]``."""
    own = axes(name, (ROWS, COLUMNS))
    value = load(source, at(own), F32) - load(per_row, at(own[:1]), F32)
    return plain(Part(own, (Store(target, at(own), value),)))


def values(**elements: int) -> dict[str, LoweredValue]:
    return {name: LoweredValue(name, F32, count) for name, count in elements.items()}


ELEMENTS = {"x": ROWS * COLUMNS, "y": ROWS * COLUMNS, "z": ROWS * COLUMNS, "s": ROWS, "t": ROWS}
VALUES = values(**ELEMENTS)


def results(*parts: Part) -> dict[str, numpy.ndarray]:
    """What parts run in order leave, by NumPy."""
    memory = {name: numpy.full(count, numpy.nan, "float32") for name, count in ELEMENTS.items()}
    memory["x"] = numpy.linspace(-1, 1, ELEMENTS["x"], dtype="float32")
    for part in parts:
        run_part(part, memory, {})
    return memory


def check(merged: Part | None, producer: Part, consumer: Part, names: Sequence[str]) -> None:
    assert merged is not None
    expected, found = results(producer, consumer), results(merged)
    for name in names:
        assert not numpy.isnan(expected[name]).any()
        numpy.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


SHAPES = [(24,), (4, 6), (6, 4), (2, 12), (2, 2, 6), (3, 8)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("other", SHAPES)
def test_inlined_across_shapes_of_the_same_elements(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    producer, consumer = pointwise("p", shape, "y", "x"), pointwise("c", other, "z", "y")
    merged = inlined(producer, consumer, VALUES["y"])
    if merged is None:  # rows of 6 and of 8 share no axis
        assert math.lcm(shape[-1], other[-1]) not in (shape[-1], other[-1])
        return
    assert {store.buffer for store in merged.stores} == {"z"}
    check(merged, producer, consumer, ["z"])


def test_inlined_into_a_fold_and_into_a_transposed_reader() -> None:
    producer = pointwise("p", (24,), "y", "x")
    check(inlined(producer, row_sum("c", "s", "y"), VALUES["y"]), producer, row_sum("c", "s", "y"), ["s"])
    own = axes("c", (COLUMNS, ROWS))
    turned = Part(own, (Store("z", at(own), load("y", own[1].variable * COLUMNS + own[0].variable, F32)),))
    check(inlined(producer, turned, VALUES["y"]), producer, turned, ["z"])


def test_reductions_checks_and_partial_stores_are_not_inlined() -> None:
    consumer = pointwise("c", (ROWS,), "t", "s")
    assert inlined(row_sum("p", "s", "x"), consumer, VALUES["s"]) is None
    producer = pointwise("p", (ROWS,), "s", "x")
    checked = replace(producer, checks=(Check(const(True, wf.bool), const(1, INDEX)),))
    assert inlined(checked, consumer, VALUES["s"]) is None
    half = pointwise("p", (ROWS // 2,), "s", "x")
    assert inlined(half, consumer, VALUES["s"]) is None


def test_a_narrow_value_is_rounded_as_if_stored() -> None:
    half = LoweredValue("y", wf.float16, 24)
    own = axes("p", (24,))
    producer = Part(own, (Store("y", at(own), load("x", at(own), F32) * const(0.1, F32)),))
    read = axes("c", (24,))
    consumer = Part(read, (Store("z", at(read), cast(load("y", at(read), wf.float16), F32)),))
    merged = inlined(producer, consumer, half)
    assert merged is not None
    x = results()["x"]
    rounded = (x * numpy.float32(0.1)).astype("float16").astype("float32")
    assert (rounded != x * numpy.float32(0.1)).any()
    numpy.testing.assert_array_equal(results(merged)["z"], rounded)


def test_absorbed_by_a_fold_after_its_rows() -> None:
    producer, consumer = row_sum("p", "s", "x"), minus_row("c", "z", "x", "s")
    merged = absorbed(producer, consumer, VALUES["s"], VALUES)
    assert merged is not None and [store.inner for store in merged.stores] == [False, True]
    check(merged, producer, consumer, ["s", "z"])


def test_absorbed_by_a_pointwise_producer() -> None:
    producer, consumer = pointwise("p", (24,), "y", "x"), pointwise("c", (4, 6), "z", "y")
    merged = absorbed(producer, consumer, VALUES["y"], VALUES)
    check(merged, producer, consumer, ["y", "z"])


def test_a_second_fold_over_the_stored_result_of_the_first() -> None:
    """The deviation from the mean, and its sum: two reductions over the same elements become one part."""
    first = absorbed(row_sum("p", "s", "x"), minus_row("m", "y", "x", "s"), VALUES["s"], VALUES)
    assert first is not None
    consumer = row_sum("c", "t", "y")
    merged = absorbed(first, consumer, VALUES["y"], VALUES)
    assert merged is not None and len(merged.reductions) == 2
    check(merged, first, consumer, ["s", "y", "t"])


def test_not_absorbed_where_the_rows_are_others() -> None:
    columns = Part(*_column_sum())
    assert absorbed(row_sum("p", "s", "x"), columns, VALUES["s"], VALUES) is None
    first = absorbed(row_sum("p", "s", "x"), minus_row("m", "y", "x", "s"), VALUES["s"], VALUES)
    assert first is not None and absorbed(first, columns, VALUES["y"], VALUES) is None


def _column_sum() -> tuple[tuple[Axis, ...], tuple[Store, ...], tuple[Axis, ...], tuple[Reduction, ...]]:
    own, over = axes("c", (COLUMNS,)), axes("cr", (ROWS,))
    result = variable("csum", F32)
    value = load("y", over[0].variable * COLUMNS + own[0].variable, F32)
    return own, (Store("t", at(own), result),), over, (Reduction(result, "sum", value),)


def test_attached_to_a_fold() -> None:
    producer, consumer = pointwise("p", (24,), "y", "x"), row_sum("c", "s", "y")
    merged = attached(producer, consumer, VALUES["y"], VALUES)
    assert merged is not None and [store.inner for store in merged.stores] == [True, False]
    check(merged, producer, consumer, ["y", "s"])


def test_attached_stores_each_element_once() -> None:
    """A value per row that is folded over every column would be stored by each of them."""
    producer = pointwise("p", (ROWS,), "s", "x")
    own, over = axes("c", (ROWS,)), axes("cr", (COLUMNS,))
    result = variable("csum", F32)
    value = load("x", at((*own, *over)), F32) * load("s", at(own), F32)
    consumer = plain(Part(own, (Store("t", at(own), result),), over, (Reduction(result, "sum", value),)))
    check(attached(producer, consumer, VALUES["s"], VALUES), producer, consumer, ["s", "t"])
    turned = Part((Axis(over[0].variable, over[0].size),),
                  (Store("t", over[0].variable, result),), (Axis(own[0].variable, own[0].size),),
                  (Reduction(result, "sum", value),))  # fmt: skip
    assert (
        attached(producer, turned, VALUES["s"], VALUES) is None
    )  # each row's value is reached by all columns


@given(st.sampled_from(SHAPES), st.sampled_from(SHAPES))
@settings(deadline=None)
def test_chains_are_merged_in_any_way(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """``y`` of ``x``, ``z`` of ``y``, then a sum over ``z``: every order of merging computes the three parts."""
    first, second = pointwise("a", a, "y", "x"), pointwise("b", b, "z", "y")
    third = row_sum("c", "s", "z")
    expected = results(first, second, third)
    for merged, names in [
        (absorbed(first, second, VALUES["y"], VALUES), ["y", "z"]),
        (inlined(first, second, VALUES["y"]), ["z"]),
    ]:
        if merged is None:
            continue
        for name in names:
            numpy.testing.assert_array_equal(results(merged)[name], expected[name])
        for whole in (attached(merged, third, VALUES["z"], VALUES), inlined(merged, third, VALUES["z"])):
            if whole is not None:
                numpy.testing.assert_allclose(results(whole)["s"], expected["s"], rtol=1e-6)


def test_dense_names_axes_by_falling_strides() -> None:
    i, j = axes("i", (2, 3))
    assert dense(affine(at((i, j))), (i, j), 6) == [(i, 3), (j, 1)]
    assert dense(affine(j.variable * 2 + i.variable), (i, j), 6) == [(j, 2), (i, 1)]
    assert dense(affine(at((i, j)) + 1), (i, j), 6) is None
    assert dense(affine(i.variable * 4 + j.variable), (i, j), 6) is None  # a gap after each row
    assert dense(affine(at((i, j))), (i, j), 12) is None  # half of it
    assert dense(affine(load("k", i.variable, INDEX)), (i, j), 6) is None


def test_a_cut_axis_and_new_names_change_nothing() -> None:
    part = row_sum("p", "s", "x")
    halves = cut(part, Cut(part.reduce_axes[0].variable, 3))
    assert [axis.size.data for axis in halves.reduce_axes] == [2, 3]
    for same in (halves, fresh(part), fresh(halves), *numbered([halves])):
        numpy.testing.assert_allclose(results(same)["s"], results(part)["s"], rtol=1e-6)
    assert not set(sizes(fresh(part))) & set(sizes(fresh(part)))
    assert numbered([fresh(part)]) == numbered([part])


def test_plain_orders_the_terms_of_indices() -> None:
    i, j = axes("i", (2, 3))
    index = j.variable + 4 + i.variable * 3 - 4
    part = plain(Part((i, j), (Store("y", index, load("x", index, F32)),)))
    assert part.stores[0].index == Affine(((i.variable, 3), (j.variable, 1)), 0).expr()
    assert (
        part.stores[0].value.args[0] is part.stores[0].index
        or part.stores[0].value.args[0] == part.stores[0].index
    )


def test_functions_of_loads_survive() -> None:
    producer = pointwise("p", (24,), "y", "x")
    own = axes("c", (24,))
    consumer = Part(own, (Store("z", at(own), call("exp", load("y", at(own), F32))),))
    check(inlined(producer, consumer, VALUES["y"]), producer, consumer, ["z"])
