"""One function for parts of a kernel that differ only in buffers, sizes and parameters.

An optimizer's step has a part for each parameter: fifty parts would otherwise be fifty functions to compile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft.expr import Expr, transform, variable
from weft.expr.node import INDEX
from weft.kernels import Axis, Kernel, Part
from weft.target import Parameter


@dataclass(frozen=True)
class Shared:
    """A part as a call of a function that other parts may share.

    ``kernel`` has the function's single part, with neutral names, and its parameters. ``buffers`` and ``numbers`` are
    the arguments of this part's call; numbers are constants or parameters of the whole kernel.
    """

    kernel: Kernel
    buffers: tuple[str, ...]
    numbers: tuple[Expr, ...]


def shared(kernel: Kernel, part: Part) -> Shared | None:
    """Return the part as a call of a function with neutral names, or ``None``.

    Parts with reductions or checks, and a kernel's only part, are not shared. Neither are several axes of constant
    sizes: divisions by constants are faster.
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
        """Arguments of the call, each with the function's parameter for it."""
        self.done: dict[Expr, Expr] = {
            axis.variable: variable(f"i0_{at}", INDEX) for at, axis in enumerate(part.axes)
        }

    def result(self) -> Shared:
        # each size has its own parameter: sizes that are equal here may differ in other parts
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
        parameters = tuple(Parameter(str(formal.data), formal.dtype) for _, formal in self.numbers)
        part = replace(self.part, axes=axes, stores=stores)
        made = replace(self.kernel, buffers=buffers, parameters=parameters, parts=(part,))
        return Shared(made, tuple(self.buffers), tuple(given for given, _ in self.numbers))

    def _number(self, given: Expr) -> Expr:
        formal = variable(f"n{len(self.numbers)}", given.dtype)
        self.numbers.append((given, formal))
        return formal

    def _buffer(self, name: str) -> str:
        return self.buffers.setdefault(name, f"x{len(self.buffers)}")

    def _renamed(self, root: Expr) -> Expr:
        return transform(root, self._change, self.done)

    def _change(self, node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.function == "variable":
            return self._number(node)
        return node.rebuild(args, self._buffer(node.data) if node.function == "load" else None)
