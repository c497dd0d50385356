"""Parts of a kernel that differ in buffers and sizes alone, as one function: an optimizer's step over many parameters.

A kernel of fifty such parts would otherwise be fifty functions to write, optimise and keep.
"""

from __future__ import annotations

from dataclasses import replace

from weft.expr import Expr, variable, walk
from weft.expr.node import INDEX
from weft.kernels import Axis, Kernel, Part

SIZE = variable("size", INDEX)
"""The size of the axis, an argument of the function."""


def common(kernel: Kernel, part: Part) -> tuple[Kernel, tuple[str, ...]] | None:
    """A kernel of one part with neutral names, equal for all parts alike, and the buffers to call it with.

    ``None`` for parts that are not one run of elements, or alone in their kernel.
    """
    if len(kernel.parts) == 1 or len(part.axes) != 1 or part.reduce_axes or part.reductions or part.checks:
        return None
    (axis,) = part.axes
    if axis.size.function != "const":
        return None
    index = variable("i0_0", INDEX)
    names: dict[str, str] = {}
    done: dict[Expr, Expr] = {axis.variable: index}

    def renamed(root: Expr) -> Expr:
        for node in walk(root):
            if node in done:
                continue
            args = tuple(done[arg] for arg in node.args)
            data = names.setdefault(node.data, f"x{len(names)}") if node.function == "load" else node.data
            done[node] = Expr(node.function, args, node.dtype, data)
        return done[root]

    stores = tuple(
        replace(
            store,
            index=renamed(store.index),
            value=renamed(store.value),
            buffer=names.setdefault(store.buffer, f"x{len(names)}"),
        )
        for store in part.stores
    )
    known = {buffer.name: buffer for buffer in kernel.buffers}
    buffers = tuple(replace(known[given], name=neutral) for given, neutral in names.items())
    made = replace(part, axes=(Axis(index, SIZE),), stores=stores)
    return replace(kernel, buffers=buffers, parts=(made,)), tuple(names)
