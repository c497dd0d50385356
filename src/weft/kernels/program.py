"""``KernelProgram``: the lowered form of an op, kernel calls over its operands, outputs and temporaries.

The arguments of a step contain the sizes and strides, so a program serves all calls with the same shapes. Arguments
that change from call to call, the operands' offsets and Python scalars, are references: ``Offset`` and ``Scalar``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from weft.dtypes import DType
from weft.expr import Expr
from weft.kernels.derived import Buffer, Kernel, Part
from weft.target import KernelSpec


@dataclass(frozen=True)
class Offset:
    """The element offset, within its bound buffer, of value ``index`` (operands, then outputs, then temporaries)."""

    index: int


@dataclass(frozen=True)
class Scalar:
    """The Python scalar given as operand ``index``."""

    index: int


Argument = int | float | Offset | Scalar

PARTS = 64
"""The most parts of a kernel over many tensors: each part's code, bindings and parameters take time to compile."""


@dataclass(frozen=True)
class Epilogue:
    """The epilogue of a library kernel: operations fused onto each element of its result, in place of the store.

    Attributes:
        name: The name of the fused kernel.
        part: The operations, without reductions and checks. Its axes, all of constant size, are the result's axes in
            row-major order; each of batches, rows and columns may be several axes.
        shape: The shape of the result: (batches, rows, columns).
        element: The variable of the result's element, in its compute type.
        buffers: The buffers that the part loads and stores, bound after the operands, read-only ones first. The part
            may load from operands, too, by their names in the template.
    """

    name: str
    part: Part
    shape: tuple[int, int, int]
    element: Expr
    buffers: tuple[Buffer, ...]


@dataclass(frozen=True)
class Library:
    """A library kernel by name, with the static options of its template; ``codegen`` finds the target's template.

    A kernel with an ``epilogue`` does not bind a buffer for its own result.
    """

    name: str
    dtypes: tuple[DType, ...]
    options: tuple[tuple[str, int | str | bool], ...] = ()
    epilogue: Epilogue | None = None


@dataclass(frozen=True)
class KernelStep:
    """A kernel call; ``buffers`` are value indices in the kernel's buffer order, ``arguments`` its parameters."""

    kernel: Kernel | Library | KernelSpec
    buffers: tuple[int, ...]
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class KernelProgram:
    """Steps in order; ``temporaries`` are (dtype, elements) of scratch values, numbered after the outputs."""

    steps: tuple[KernelStep, ...]
    temporaries: tuple[tuple[DType, int], ...] = ()


def renumbered(step: KernelStep, indices: Sequence[int]) -> KernelStep:
    """Return the step with value ``indices[i]`` in place of each value ``i``."""

    def moved(argument: Argument) -> Argument:
        if isinstance(argument, Offset | Scalar):
            return replace(argument, index=indices[argument.index])
        return argument

    buffers = tuple(indices[index] for index in step.buffers)
    return replace(step, buffers=buffers, arguments=tuple(map(moved, step.arguments)))
