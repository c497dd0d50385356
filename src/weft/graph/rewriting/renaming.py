"""Replace the parameters of kernels by constants, and rename their buffers to the names of values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from weft.expr import Expr, Substitution, const, simplify, transform, variable
from weft.expr.node import INDEX, leaf
from weft.kernels import Axis, Buffer, Check, Kernel, Part, Reduction, Store
from weft.target import Parameter

ROUND = variable("round", INDEX)
"""The parameter of kernels in loops: the number of the step."""


def with_constants(
    kernel: Kernel, names: Sequence[str], numbers: Sequence[int | float], strides: Sequence[int],
    before: Mapping[str, str],
) -> Kernel:  # fmt: skip
    """Return a kernel with its parameters replaced by numbers, and its buffers renamed.

    Args:
        kernel: the kernel.
        names: the new name of each buffer.
        numbers: the value of each parameter.
        strides: the increment of each number for each step of a loop; where one is not 0, the kernel has the parameter
            ``round``.
        before: for new names that overwrite the memory of another value, that value's name, which loads read.
    """
    fixed: dict[Expr, Expr] = {}
    for parameter, number, stride in zip(kernel.parameters, numbers, strides, strict=True):
        value = const(number, parameter.dtype)
        fixed[variable(parameter.name, parameter.dtype)] = value + ROUND * stride if stride else value
    renamed = {buffer.name: name for buffer, name in zip(kernel.buffers, names, strict=True)}
    loaded = {old: before.get(name, name) for old, name in renamed.items()}
    substitution, taken = Substitution(fixed), loads_renamed(loaded)
    made = mapped(kernel, lambda root: simplify(taken(substitution(root))), renamed)
    read = {name for part in made.parts for name in part.loads}
    over = [
        Buffer(before[buffer.name], buffer.dtype)
        for buffer in made.buffers
        if before.get(buffer.name) in read
    ]
    parameters = (Parameter("round", INDEX),) if any(strides) else ()
    return replace(made, parameters=parameters, buffers=(*over, *made.buffers))


def rename_loads(root: Expr, names: Mapping[str, str]) -> Expr:
    """Return an expression with its loads renamed to other buffers."""
    return loads_renamed(names)(root)


def loads_renamed(names: Mapping[str, str]) -> Callable[[Expr], Expr]:
    """Return a function that renames the buffers of loads; it caches the result of each node."""
    wanted = 0
    for old in names:
        wanted |= leaf(old)
    done: dict[Expr, Expr] = {}

    def change(node: Expr, args: tuple[Expr, ...]) -> Expr:
        data = names.get(node.data, node.data) if node.function == "load" else node.data
        return node.rebuild(args, data)

    return lambda root: transform(root, change, done, wanted)


def mapped(kernel: Kernel, change: Any, names: dict[str, str]) -> Kernel:
    """Return a kernel with a function applied to every expression, and with buffers renamed."""
    return replace(
        kernel,
        buffers=tuple(replace(buffer, name=names.get(buffer.name, buffer.name)) for buffer in kernel.buffers),
        parts=tuple(mapped_part(part, change, names) for part in kernel.parts),
    )


def mapped_part(part: Part, change: Any, names: dict[str, str] | None = None) -> Part:
    """Return a part with a function applied to every expression, and with buffers renamed."""
    names = names or {}
    return Part(
        tuple(Axis(axis.variable, change(axis.size)) for axis in part.axes),
        tuple(
            Store(
                names.get(store.buffer, store.buffer), change(store.index), change(store.value), store.inner
            )
            for store in part.stores
        ),
        tuple(Axis(axis.variable, change(axis.size)) for axis in part.reduce_axes),
        tuple(
            Reduction(reduction.result, reduction.combine, change(reduction.value))
            for reduction in part.reductions
        ),
        tuple(Check(change(check.valid), change(check.value), check.inner) for check in part.checks),
    )
