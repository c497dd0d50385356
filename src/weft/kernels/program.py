"""What an op lowers to: steps over the op's operands, outputs and temporaries. The eager executor runs it.

Geometry (sizes, strides) is in the step's parameters, so a program serves every call with the same shapes; what
changes from call to call, the operands' offsets and Python scalars, is named by ``Offset`` and ``Scalar``.
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
"""Parts of a kernel over many tensors, at most: their text, bindings and parameters take time to compile each."""


@dataclass(frozen=True)
class Epilogue:
    """What becomes of each element of a library kernel's result, in place of its store.

    ``part`` folds and checks nothing. Its axes, all of constant size, are in row-major order those of the result,
    whose ``shape`` is (batches, rows, columns), each of them as one axis or as several. ``element`` is the variable
    that holds the element, in the result's compute type. Loads and stores are of ``buffers``, which are bound after
    the operands, those that are only read first; loads may be of an operand, too, by the template's name for it.
    """

    name: str
    part: Part
    shape: tuple[int, int, int]
    element: Expr
    buffers: tuple[Buffer, ...]


@dataclass(frozen=True)
class Library:
    """A library kernel by name, with the template's static choices; ``codegen`` finds the target's template.

    With an ``epilogue`` the kernel's own result is no buffer of it.
    """

    name: str
    dtypes: tuple[DType, ...]
    options: tuple[tuple[str, int | str | bool], ...] = ()
    epilogue: Epilogue | None = None


@dataclass(frozen=True)
class KernelStep:
    """One dispatch. ``buffers`` are value indices in the kernel's buffer order; ``arguments`` follow its parameters."""

    kernel: Kernel | Library | KernelSpec
    buffers: tuple[int, ...]
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class KernelProgram:
    """Steps in order; ``temporaries`` are (dtype, elements) of scratch values, numbered after the outputs."""

    steps: tuple[KernelStep, ...]
    temporaries: tuple[tuple[DType, int], ...] = ()


def renumbered(step: KernelStep, indices: Sequence[int]) -> KernelStep:
    """The step with value ``indices[i]`` in place of each value ``i``."""

    def moved(argument: Argument) -> Argument:
        if isinstance(argument, Offset | Scalar):
            return replace(argument, index=indices[argument.index])
        return argument

    buffers = tuple(indices[index] for index in step.buffers)
    return replace(step, buffers=buffers, arguments=tuple(map(moved, step.arguments)))
