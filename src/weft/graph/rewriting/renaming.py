"""Kernels with numbers in place of parameters, and with their buffers named by the values that they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from weft.expr import Expr, Substitution, const, simplify, transform, variable
from weft.expr.node import INDEX, leaf
from weft.kernels import Axis, Buffer, Check, Kernel, Part, Reduction, Store
from weft.target import Parameter

ROUND = variable("round", INDEX)
"""The parameter of kernels in loops: which step it is."""


def with_constants(
    kernel: Kernel, names: Sequence[str], numbers: Sequence[int | float], strides: Sequence[int],
    before: Mapping[str, str],
) -> Kernel:  # fmt: skip
    """A kernel with its parameters replaced by numbers and its buffers renamed; ``before`` it loads by other names.

    ``strides`` are how much each number grows from step to step of a loop: then the step is a parameter.
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
    """The expression with its loads taken from other buffers."""
    return loads_renamed(names)(root)


def loads_renamed(names: Mapping[str, str]) -> Callable[[Expr], Expr]:
    """A rewrite that takes loads from other buffers; it goes on knowing what it made of each node."""
    wanted = 0
    for old in names:
        wanted |= leaf(old)
    done: dict[Expr, Expr] = {}

    def change(node: Expr, args: tuple[Expr, ...]) -> Expr:
        data = names.get(node.data, node.data) if node.function == "load" else node.data
        return node.rebuild(args, data)

    return lambda root: transform(root, change, done, wanted)


def mapped(kernel: Kernel, change: Any, names: dict[str, str]) -> Kernel:
    """A kernel with every expression changed, and buffers renamed."""
    return replace(
        kernel,
        buffers=tuple(replace(buffer, name=names.get(buffer.name, buffer.name)) for buffer in kernel.buffers),
        parts=tuple(mapped_part(part, change, names) for part in kernel.parts),
    )


def mapped_part(part: Part, change: Any, names: dict[str, str] | None = None) -> Part:
    """A part with every expression changed."""
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
