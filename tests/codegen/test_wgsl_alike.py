"""Parts that differ in sizes and offsets only are written once."""

from __future__ import annotations

from dataclasses import replace

from weft import codegen, dtypes
from weft.codegen.wgsl.alike import families
from weft.expr import Expr, const, load, variable
from weft.expr.node import INDEX
from weft.kernels import Axis, Buffer, Kernel, Part, Reduction, Store
from weft.target import BROWSER


def scaled(number: int, size: int, offset: int, factor: float = 2.0) -> Part:
    """``b1[i + offset] = b0[i + offset] * factor + b0[7]``."""
    axis = variable(f"i{number}_0", INDEX)
    place = axis + offset if offset else axis
    value: Expr = load("b0", place, dtypes.float32) * factor + load("b0", const(7, INDEX), dtypes.float32)
    return Part((Axis(axis, const(size, INDEX)),), (Store("b1", place, value),))


def kernel(*parts: Part) -> Kernel:
    buffers = (Buffer("b0", dtypes.float32), Buffer("b1", dtypes.float32, "read_write"))
    return Kernel("scaled", buffers, (), parts)


def test_many_parts_are_one_function() -> None:
    made = kernel(*(scaled(number, 10 + number, 64 * number) for number in range(50)))
    (family,) = families(made.parts)
    assert len(family.members) == 50
    source = codegen.generate(made, BROWSER).source
    assert source.count("fn part_") == 1


def test_other_values_are_other_functions() -> None:
    made = kernel(scaled(0, 10, 0), scaled(1, 11, 64, 3.0), scaled(2, 12, 128), scaled(3, 13, 256, 3.0))
    assert [[at for at, _ in family.members] for family in families(made.parts)] == [[0, 2], [1, 3]]
    assert codegen.generate(made, BROWSER).source.count("fn part_") == 2


def test_parts_that_fold_are_functions_of_their_own() -> None:
    row, total = variable("r0_0", INDEX), variable("acc0_0", dtypes.float32)
    fold = Reduction(total, "sum", load("b0", row, dtypes.float32))
    part = Part((), (Store("b1", const(0, INDEX), total),), (Axis(row, const(9, INDEX)),), (fold,))
    other = replace(part, stores=(Store("b1", const(0, INDEX), total),))
    assert [len(family.members) for family in families([part, other])] == [1, 1]
