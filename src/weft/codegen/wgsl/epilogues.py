"""The epilogue of a library kernel in WGSL, written as a part of a derived kernel for each element."""

from __future__ import annotations

import math
from collections.abc import Sequence

from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.points import PointWriter
from weft.codegen.wgsl.storage import View
from weft.codegen.wgsl.vector import FourWriter
from weft.errors import KernelError
from weft.expr import Expr, walk
from weft.expr.define import expand
from weft.expr.wgsl import WgslValue
from weft.expr.wgsl_text import identifier, type_name
from weft.kernels import Axis, Epilogue, Kernel, Store

GROUPS = ("batch", "row", "column")
"""The arguments of the function that stores an element: its place."""


def views(epilogue: Epilogue, fours: bool) -> tuple[View, ...]:
    """Return the bindings of the epilogue's own buffers; with ``fours``, vectors of four where they run along a row."""
    moving = _moving(epilogue) if fours else set()
    return tuple(
        View(
            identifier(buffer.name),
            buffer.dtype,
            buffer.access == "read_write",
            4 if buffer.name in moving else 1,
        )
        for buffer in epilogue.buffers
    )


def _moving(epilogue: Epilogue) -> set[str]:
    """Return the buffers whose indices move with the column."""
    part, along = epilogue.part, across(epilogue).variable
    found = {store.buffer for store in part.stores}
    return found | {
        node.data for node in part.nodes if node.function == "load" and along in set(walk(node.args[0]))
    }


def across(epilogue: Epilogue) -> Axis:
    """Return the axis of neighbouring columns."""
    return next(axis for axis in reversed(epilogue.part.axes) if int(axis.size.data) > 1)


def body(epilogue: Epilogue, module: Module, fours: bool) -> str:
    """Return statements that use the element ``value`` at ``batch``, ``row`` and ``column``.

    With ``fours``, ``value`` is a vector of that column and the next three.
    """
    part = epilogue.part
    if part.reduce_axes or part.reductions or part.checks:
        raise KernelError(f"kernel {module.name}: an epilogue folds and checks nothing")
    kernel = Kernel(module.name, epilogue.buffers, (), (part,))
    writer = _Fours(module, kernel, part, across(epilogue)) if fours else PointWriter(module, kernel, part)
    writer.emitter.reserved |= {*GROUPS, "value"}
    counted = writer.four if isinstance(writer, _Fours) else writer.emitter
    counted.reserved = writer.emitter.reserved
    counted.count(part.expressions)
    for name, axes in zip(GROUPS, grouped(epilogue), strict=True):
        if axes:
            writer.decode(axes, f"u32({name})")
    counted.define(epilogue.element, "value", 4 if fours else 1)
    writer.store_all(part.stores)
    return "\n".join(line[4:] for line in writer.emitter.lines)


class _Fours(FourWriter):
    """Four neighbouring columns of an epilogue at a time."""

    def define(self, axis: Axis, text: str) -> None:
        """Give an axis its value; the axis of columns has four."""
        super().define(axis, text)
        if axis is self.axis:
            self.define_axis(self.emitter.value(axis.variable).text)

    def resolve_four(self, node: Expr) -> WgslValue:
        """Return the text of a node; operands of the product that are not bound in fours are read one by one."""
        if node.function != "load" or self.view(node.data).vector == 4:
            return super().resolve_four(node)
        if self.axis.variable not in set(walk(node.args[0])):
            return self.emitter.value(node)
        view, wanted = self.view(node.data), type_name(node.dtype, 4)
        first = self.emitter.named(node.args[0]).text
        places = [self.emitter.fresh() for _ in range(4)]
        for lane, place in enumerate(places):
            self.emitter.line(f"let {place} = {first} + {lane}i;")
        return WgslValue(f"{wanted}({', '.join(view.load(place) for place in places)})", 4, wanted, 1)

    def store_all(self, stores: Sequence[Store]) -> None:
        """Compute all values, then write them."""
        placed = [(self._index(store), self._value(store)) for store in stores]
        for store, (index, value) in zip(stores, placed, strict=True):
            self.emitter.line(f"{self.view(store.buffer).all4(index, value, self.module.declarations)};")


def weight(epilogue: Epilogue) -> int:
    """Return about how many operations the epilogue takes for an element, functions expanded."""
    roots = [expand(root) for store in epilogue.part.stores for root in (store.value, store.index)]
    return sum(1 for _ in walk(*roots))


def grouped(epilogue: Epilogue) -> list[list[Axis]]:
    """Return the axes of the batch, of the row and of the column."""
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
