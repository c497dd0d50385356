"""The epilogue of a library kernel in WGSL: what is done with an element, by the writer of derived kernels."""

from __future__ import annotations

import math

from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.points import PointWriter
from weft.codegen.wgsl.storage import View
from weft.errors import KernelError
from weft.expr import walk
from weft.expr.define import expand
from weft.expr.wgsl_text import identifier
from weft.kernels import Axis, Epilogue, Kernel

GROUPS = ("batch", "row", "column")
"""The names, in the function that stores an element, of its place."""


def views(epilogue: Epilogue) -> tuple[View, ...]:
    """The bindings of the epilogue's own buffers."""
    return tuple(
        View(identifier(buffer.name), buffer.dtype, buffer.access == "read_write")
        for buffer in epilogue.buffers
    )


def body(epilogue: Epilogue, module: Module) -> str:
    """Statements that use the element ``value`` at ``batch``, ``row`` and ``column``."""
    part = epilogue.part
    if part.reduce_axes or part.reductions or part.checks:
        raise KernelError(f"kernel {module.name}: an epilogue folds and checks nothing")
    writer = PointWriter(module, Kernel(module.name, epilogue.buffers, (), (part,)), part)
    writer.emitter.reserved |= {*GROUPS, "value"}
    writer.emitter.count(part.expressions)
    for name, axes in zip(GROUPS, grouped(epilogue), strict=True):
        if axes:
            writer.decode(axes, f"u32({name})")
    writer.emitter.define(epilogue.element, "value")
    writer.store_all(part.stores)
    return "\n".join(line[4:] for line in writer.emitter.lines)


def weight(epilogue: Epilogue) -> int:
    """About how many operations it takes an element, functions written out."""
    roots = [expand(one) for store in epilogue.part.stores for one in (store.value, store.index)]
    return sum(1 for _ in walk(*roots))


def grouped(epilogue: Epilogue) -> list[list[Axis]]:
    """The axes of the batch, of the row and of the column."""
    left, found = list(epilogue.part.axes), []
    for size in epilogue.shape:
        group: list[Axis] = []
        while math.prod(int(axis.size.data) for axis in group) < size and left:
            group.append(left.pop(0))
        if math.prod(int(axis.size.data) for axis in group) != size:
            raise KernelError(
                f"{epilogue.name}: axes of {', '.join(repr(axis.size) for axis in epilogue.part.axes)} elements, "
                f"expected those of {epilogue.shape}"
            )
        found.append(group)
    for axis in left:  # of size 1
        found[-1].append(axis)
    return found
