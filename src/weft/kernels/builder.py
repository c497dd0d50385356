"""``Builder`` builds a derived kernel for operands of given shapes and strides; ``coalesce`` merges their dimensions.

In an eager kernel sizes, strides and offsets are parameters, so that a new shape needs no new pipeline; only an inner
stride of 0 or 1 is part of the kernel. With ``static=True``, for compiled plans, sizes and strides are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from weft import dtypes
from weft.dtypes import DType
from weft.expr import Expr, cast, const, load, simplify, variable, where
from weft.expr.node import INDEX
from weft.kernels.derived import Axis, Buffer, Check, Combine, Kernel, Part, Reduction, Store
from weft.kernels.program import Argument, KernelStep, Offset, Scalar
from weft.target import Parameter


@dataclass(frozen=True)
class Operand:
    """A value of an op call as a kernel accesses it. A Python scalar has slot -1 and no shape.

    Attributes:
        index: The number of the value among operands, outputs and temporaries.
        dtype: The element type.
        shape: The shape.
        strides: The strides, in elements.
        slot: The number of its buffer. Values with equal slots share a binding (``x.add_(x)``, or two tensors of an
            arena of which the kernel writes one).
        aligned: Whether the offset is a multiple of 4 elements and of 16 bytes.
        scalar: Whether the value is a Python scalar.
    """

    index: int
    dtype: DType
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    slot: int = -1
    aligned: bool = True
    scalar: bool = False


def coalesce(
    shape: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Return the shape and strides of the same traversal with as few dimensions as possible.

    Dimensions of size 1 are dropped, and adjacent dimensions merged where all strides allow it.

    >>> coalesce((2, 3, 4), [(12, 4, 1), (0, 0, 1)])
    ((6, 4), [(4, 1), (0, 1)])
    """
    sizes: list[int] = []
    kept: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(
            merged[-1] == given[axis] * size for merged, given in zip(kept, strides, strict=True)
        ):
            sizes[-1] *= size
            for merged, given in zip(kept, strides, strict=True):
                merged[-1] = given[axis]
            continue
        sizes.append(size)
        for merged, given in zip(kept, strides, strict=True):
            merged.append(given[axis])
    if not sizes:
        return (1,), [(0,) for _ in strides]
    return tuple(sizes), [tuple(merged) for merged in kept]


@dataclass
class Builder:
    """Collects the buffers, parameters and parts of a kernel, and the arguments of its call.

    With ``renumbers`` the names of parameters number operands by their first use, not by their position in the op's
    call. Then the kernels of an op over different subsets of its operands are equal, and compiled once.

    >>> x, y = (Operand(index, dtypes.float32, (8,), (1,), slot=index) for index in (0, 1))
    >>> builder = Builder("double", static=True)
    >>> (i,) = builder.axes(x.shape)
    >>> builder.store(y, [i], builder.load(x, [i]) * 2.0)
    >>> step = builder.finish()
    >>> step.kernel.parts[0].stores[0].value
    mul(b0[add(o0, i0_0)], 2.0)
    """

    name: str
    static: bool = False
    renumbers: bool = False
    # by slot: name, type, whether it is written, index
    _buffers: dict[int, tuple[str, DType, bool, int]] = field(default_factory=dict)
    _parameters: list[Parameter] = field(default_factory=list)
    _arguments: list[Argument] = field(default_factory=list)
    _named: dict[str, Expr] = field(default_factory=dict)
    _known: dict[str, Argument] = field(default_factory=dict)
    _parts: list[Part] = field(default_factory=list)
    _axes: list[Axis] = field(default_factory=list)
    _reduce_axes: list[Axis] = field(default_factory=list)
    _reductions: list[Reduction] = field(default_factory=list)
    _stores: list[Store] = field(default_factory=list)
    _checks: list[Check] = field(default_factory=list)
    _numbers: dict[int, int] = field(default_factory=dict)

    def _number(self, operand: Operand) -> int:
        """Return the operand's number in the names of parameters."""
        return (
            self._numbers.setdefault(operand.index, len(self._numbers)) if self.renumbers else operand.index
        )

    def _parameter(self, name: str, dtype: DType, argument: Argument) -> Expr:
        while (known := self._known.get(name)) is not None and known != argument:
            name += "_"  # the same role with another value: a second traversal of the operand
        if known is None:
            self._known[name] = argument
            self._named[name] = variable(name, dtype)
            self._parameters.append(Parameter(name, dtype))
            self._arguments.append(argument)
        return self._named[name]

    def integer(self, name: str, value: int) -> Expr:
        """Return a size, stride or other integer known to the host, as a constant or parameter."""
        return const(value, INDEX) if self.static else self._parameter(name, INDEX, value)

    def number(self, name: str, value: float, dtype: DType) -> Expr:
        """Return a floating point value known to the host, as a constant or parameter."""
        return const(value, dtype) if self.static else self._parameter(name, dtype, value)

    def scalar(self, operand: Operand, dtype: DType) -> Expr:
        """Return a Python scalar operand, as a parameter of type ``dtype``."""
        wide = dtypes.int64 if dtype.kind == "bool" else dtype
        return cast(self._parameter(f"v{self._number(operand)}", wide, Scalar(operand.index)), dtype)

    def axes(self, shape: Sequence[int], prefix: str = "i") -> list[Expr]:
        """Add axes to the part's index space; return their variables, outermost first."""
        made = self._make_axes(shape, prefix)
        self._axes.extend(made)
        return [axis.variable for axis in made]

    def reduce_axes(self, shape: Sequence[int], prefix: str = "r") -> list[Expr]:
        """Add axes to the part's reduction space; return their variables, outermost first."""
        made = self._make_axes(shape, prefix)
        self._reduce_axes.extend(made)
        return [axis.variable for axis in made]

    def _make_axes(self, shape: Sequence[int], prefix: str) -> list[Axis]:
        part = len(self._parts)
        return [
            Axis(
                variable(f"{prefix}{part}_{axis}", INDEX),
                self.integer(f"{prefix}{part}_{axis}_size", size),
            )
            for axis, size in enumerate(shape)
        ]

    def _buffer(self, operand: Operand, written: bool) -> str:
        name, dtype, was_written, index = self._buffers.get(
            operand.slot, (f"b{len(self._buffers)}", operand.dtype, False, operand.index)
        )
        assert dtype is operand.dtype, "values of the same slot have the same type"
        self._buffers[operand.slot] = (name, dtype, was_written or written, index)
        return name

    def offset(self, operand: Operand) -> Expr:
        """Return the position of the operand's element 0 in its bound buffer: a parameter, known only at the call."""
        return self._parameter(f"o{self._number(operand)}", INDEX, Offset(operand.index))

    def index(
        self,
        operand: Operand,
        indices: Sequence[Expr],
        strides: Sequence[int] | None = None,
        shift: Expr | None = None,
    ) -> Expr:
        """Return the element index of ``operand`` at ``indices``, by its own or the given strides, plus ``shift``."""
        strides = operand.strides if strides is None else strides
        total = self.offset(operand) if shift is None else self.offset(operand) + shift
        last = len(strides) - 1
        # Strides 0 and 1 along the last axis are constants in the kernel, so that generators can use vector accesses;
        # for a transposed operand, so is a stride 1 along the second to last axis.
        row = self._axes[-2].variable if len(self._axes) > 1 else None
        column = self._axes[-1].variable if self._axes else None
        moves = dict(zip(indices, strides, strict=True))
        across = row if column is not None and moves.get(column, 0) > 1 else None
        for axis, (variable_, stride) in enumerate(zip(indices, strides, strict=True)):
            if stride == 0 and (axis == last or variable_ is column):
                continue
            if stride == 1 and (axis == last or variable_ is column or variable_ is across):
                total = total + variable_
            else:
                key = f"s{len(self._parts)}_{self._number(operand)}_{axis}"
                total = total + variable_ * self.integer(key, stride)
        return simplify(total)

    def load(
        self,
        operand: Operand,
        indices: Sequence[Expr],
        strides: Sequence[int] | None = None,
        valid: Expr | None = None,
        other: float = 0,
    ) -> Expr:
        """Return the operand's element, widened to its compute type; ``other`` where ``valid`` is false."""
        dtype = operand.dtype.compute
        if operand.scalar:
            return self.scalar(operand, dtype)
        index = self.index(operand, indices, strides)
        name = self._buffer(operand, written=False)
        if valid is None:
            return load(name, index, dtype)
        safe = where(valid, index, self.offset(operand))
        return where(valid, load(name, safe, dtype), const(other, dtype))

    def reduce(self, combine: Combine, value: Expr) -> Expr:
        """Add a reduction of ``value`` over the reduction axes; return the variable of its result."""
        dtype = INDEX if combine in ("argmax", "argmin") else value.dtype
        result = variable(f"acc{len(self._parts)}_{len(self._reductions)}", dtype)
        self._reductions.append(Reduction(result, combine, simplify(value)))
        return result

    def check(self, valid: Expr, value: Expr, inner: bool = False) -> None:
        """Add a check that reports ``value`` as an index out of range where ``valid`` is false."""
        self._checks.append(Check(simplify(valid), value, inner))

    def store(
        self,
        operand: Operand,
        indices: Sequence[Expr],
        value: Expr,
        strides: Sequence[int] | None = None,
        inner: bool = False,
        shift: Expr | None = None,
    ) -> None:
        """Add the store ``operand[indices] = value``, converted to the operand's type, ``shift`` elements on."""
        index = self.index(operand, indices, strides, shift)
        value = simplify(cast(value, operand.dtype.compute))
        self._stores.append(Store(self._buffer(operand, written=True), index, value, inner))

    def end_part(self) -> None:
        """Close the current part; a kernel of several parts calls this after each but the last."""
        self._parts.append(
            Part(
                tuple(self._axes),
                tuple(self._stores),
                tuple(self._reduce_axes),
                tuple(self._reductions),
                tuple(self._checks),
            )
        )
        for collected in (self._axes, self._stores, self._reduce_axes, self._reductions, self._checks):
            collected.clear()

    def finish(self, vector: int = 1, cooperative: int = 0, held: int = 0) -> KernelStep:
        """Return the kernel with its arguments. Read-only buffers come first, written buffers last."""
        if self._stores:
            self.end_part()
        ordered = sorted(self._buffers.values(), key=lambda entry: entry[2])
        buffers = tuple(
            Buffer(name, dtype, "read_write" if written else "read") for name, dtype, written, _ in ordered
        )
        kernel = Kernel(
            self.name, buffers, tuple(self._parameters), tuple(self._parts), vector, cooperative, held
        )
        return KernelStep(kernel, tuple(index for *_, index in ordered), tuple(self._arguments))
