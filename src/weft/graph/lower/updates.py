"""``update_view`` as a pointwise kernel: an element comes from the value inside of the view, else from the base.

A write into zeros, or into another value that the program has computed, then fuses with its producers and consumers. An
update of a state is lowered otherwise, so that it writes only the elements that change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from weft.dtypes import DType
from weft.expr import Expr, call, const, load, simplify, variable, where
from weft.expr.node import INDEX
from weft.graph.lower.lowered import KernelCall, LoweredValue
from weft.graph.rewriting.affine import Affine
from weft.kernels import Axis, Buffer, Kernel, Part, Store
from weft.ops import Geometry
from weft.ops.registry.geometry import contiguous_strides


@dataclass(frozen=True)
class _Reach:
    """The positions of a view along one dimension of its base: ``size`` positions from ``start`` on, ``step`` apart.

    ``stride`` is the stride of the written value along that dimension.
    """

    start: int
    step: int
    size: int
    stride: int


def update_kernel(
    names: tuple[str, str, str],
    dtype: DType,
    shape: Sequence[int],
    base: Geometry,
    value: Geometry,
    view: Geometry,
) -> Kernel | None:
    """Return the kernel of an update; ``None`` where two dimensions of the view lie in one dimension of the base.

    Args:
        names: the names of base, value and target.
        dtype: the element type.
        shape: the shape of the target, which is contiguous.
        base: the geometry of the base in its buffer.
        value: the geometry of the value in its buffer.
        view: the geometry of the view in the target.
    """
    reaches = _reaches(shape, view, value.strides)
    if reaches is None:
        return None
    axes = tuple(Axis(variable(f"i0_{at}", INDEX), const(size, INDEX)) for at, size in enumerate(shape))
    inside: Expr | None = None
    place: Expr = const(value.offset, INDEX)
    for axis, size, reach in zip(axes, shape, reaches, strict=True):
        at = axis.variable
        for test in _tests(at, size, reach):
            inside = test if inside is None else call("and", inside, test)
        step = at - reach.start
        place = place + (call("idiv", step, reach.step) if reach.step > 1 else step) * reach.stride
    source, given, target = names
    old = load(source, _index(axes, base.strides, base.offset), dtype.compute)
    if inside is None:
        made = load(given, simplify(place), dtype.compute)
    else:
        safe = where(inside, simplify(place), const(value.offset, INDEX))
        made = where(inside, load(given, safe, dtype.compute), old)
    part = Part(axes, (Store(target, _index(axes, contiguous_strides(shape), 0), simplify(made)),))
    read = [Buffer(name, dtype) for name in dict.fromkeys((source, given))]
    return Kernel("update_view", (*read, Buffer(target, dtype, "read_write")), (), (part,))


def _index(axes: Sequence[Axis], strides: Sequence[int], offset: int) -> Expr:
    terms = [(axis.variable, stride) for axis, stride in zip(axes, strides, strict=True) if stride]
    return Affine(tuple(terms), offset).expr()


def _tests(at: Expr, size: int, reach: _Reach) -> list[Expr]:
    """Return the conditions under which a position is inside of the view."""
    last = reach.start + reach.step * (reach.size - 1)
    tests = [at >= reach.start] if reach.start else []
    tests += [at <= last] if last < size - 1 else []
    if reach.step > 1:
        tests.append(call("eq", call("irem", at - reach.start, reach.step), const(0, INDEX)))
    return tests


def _reaches(shape: Sequence[int], view: Geometry, strides: Sequence[int]) -> list[_Reach] | None:
    """Return the positions of the view along each dimension of the target; ``None`` where they are not separable."""
    across_strides = contiguous_strides(shape)
    left = [
        (step, size, stride)
        for step, size, stride in zip(view.strides, view.shape, strides, strict=True)
        if size > 1
    ]
    found, rest = [], view.offset
    for across, size in zip(across_strides, shape, strict=True):
        start, rest = divmod(rest, across) if size > 1 else (0, rest)
        mine = [value for value in left if size > 1 and value[0] >= across]
        if len(mine) > 1:
            return None
        step, count, stride = mine[0] if mine else (across, 1, 0)
        if step % across or start + step // across * (count - 1) >= size:
            return None
        left = [value for value in left if value not in mine]
        found.append(_Reach(start, step // across, count, stride))
    return None if left or rest or math.prod(view.shape) == 0 else found


def copy_call(source: LoweredValue, target: LoweredValue) -> KernelCall:
    """Return the call that copies a value's elements to another value's memory."""
    index = variable("i0_0", INDEX)
    value = load(source.name, index, source.dtype.compute)
    part = Part((Axis(index, const(source.elements, INDEX)),), (Store(target.name, index, value),))
    buffers = (Buffer(source.name, source.dtype), Buffer(target.name, target.dtype, "read_write"))
    return KernelCall(
        Kernel("copy", buffers, (), (part,), vector=4), (source.name, target.name), (1,), ops=("copy",)
    )
