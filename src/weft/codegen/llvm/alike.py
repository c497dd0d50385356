"""Parts of a kernel that differ in buffers, sizes and parameters alone, as one function: an optimizer's step.

A kernel of fifty such parts would otherwise be fifty functions to write, optimise and keep.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft.expr import Expr, transform, variable
from weft.expr.node import INDEX
from weft.kernels import Axis, Kernel, Part
from weft.target import Parameter


@dataclass(frozen=True)
class Shared:
    """A part as a call of a function that other parts may call too.

    ``kernel`` has that one part, with neutral names and the parameters that the function takes; ``buffers`` and
    ``numbers`` are what this part calls it with, the numbers constants or parameters of the whole kernel.
    """

    kernel: Kernel
    buffers: tuple[str, ...]
    numbers: tuple[Expr, ...]


def shared(kernel: Kernel, part: Part) -> Shared | None:
    """The part as a function of neutral names; ``None`` for parts that fold or check, or are alone in their kernel.

    Constant sizes of several axes stay constants, which divisions by them profit from.
    """
    if len(kernel.parts) == 1 or part.reduce_axes or part.reductions or part.checks or not part.axes:
        return None
    if len(part.axes) > 1 and any(axis.size.function == "const" for axis in part.axes):
        return None
    return _Renaming(kernel, part).result()


class _Renaming:
    def __init__(self, kernel: Kernel, part: Part) -> None:
        self.kernel, self.part = kernel, part
        self.buffers: dict[str, str] = {}
        self.numbers: list[tuple[Expr, Expr]] = []
        """What the part is called with, and the variable for it."""
        self.done: dict[Expr, Expr] = {
            axis.variable: variable(f"i0_{at}", INDEX) for at, axis in enumerate(part.axes)
        }

    def result(self) -> Shared:
        # each size is an argument of its own: two that are equal by chance say nothing about other parts
        sizes = tuple(self._number(axis.size) for axis in self.part.axes)
        axes = tuple(Axis(self.done[a.variable], size) for a, size in zip(self.part.axes, sizes, strict=True))
        stores = tuple(
            replace(
                store,
                index=self._renamed(store.index),
                value=self._renamed(store.value),
                buffer=self._buffer(store.buffer),
            )
            for store in self.part.stores
        )
        known = {buffer.name: buffer for buffer in self.kernel.buffers}
        buffers = tuple(replace(known[given], name=neutral) for given, neutral in self.buffers.items())
        parameters = tuple(Parameter(str(own.data), own.dtype) for _, own in self.numbers)
        part = replace(self.part, axes=axes, stores=stores)
        made = replace(self.kernel, buffers=buffers, parameters=parameters, parts=(part,))
        return Shared(made, tuple(self.buffers), tuple(given for given, _ in self.numbers))

    def _number(self, given: Expr) -> Expr:
        own = variable(f"n{len(self.numbers)}", given.dtype)
        self.numbers.append((given, own))
        return own

    def _buffer(self, name: str) -> str:
        return self.buffers.setdefault(name, f"x{len(self.buffers)}")

    def _renamed(self, root: Expr) -> Expr:
        return transform(root, self._change, self.done)

    def _change(self, node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.function == "variable":
            return self._number(node)
        return node.rebuild(args, self._buffer(node.data) if node.function == "load" else None)
