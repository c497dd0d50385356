"""``Builder`` writes a derived kernel for operands of given geometry; ``coalesce`` merges their dimensions.

In an eager kernel sizes, strides and offsets are parameters (a new shape is not a new pipeline), except that an
inner stride of 0 or 1 is part of the kernel. With ``static=True``, for compiled plans, all are constants.
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
    """A value as a kernel sees it: type, shape and strides in elements; ``slot`` says which buffer it lives in.

    Values with equal slots share one binding (``x.add_(x)``, or two tensors of one arena where one is written).
    ``index`` is its number among operands, outputs and temporaries. A Python scalar has slot -1 and no shape.
    ``aligned``: its offset is a multiple of 4 elements and of 16 bytes.
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
    """The same traversal with as few dimensions as possible: size-1 ones go, mergeable neighbours merge.

    >>> coalesce((2, 3, 4), [(12, 4, 1), (0, 0, 1)])
    ((6, 4), [(4, 1), (0, 1)])
    """
    sizes: list[int] = []
    kept: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(own[-1] == given[axis] * size for own, given in zip(kept, strides, strict=True)):
            sizes[-1] *= size
            for own, given in zip(kept, strides, strict=True):
                own[-1] = given[axis]
            continue
        sizes.append(size)
        for own, given in zip(kept, strides, strict=True):
            own.append(given[axis])
    if not sizes:
        return (1,), [(0,) for _ in strides]
    return tuple(sizes), [tuple(own) for own in kept]


@dataclass
class Builder:
    """Collects the buffers, parameters and parts of one kernel, and the arguments that go with it.

    ``renumbers``: operands are numbered in the names of parameters by their first use, and not as in the op's call, so
    that an op of several kernels, each over some of its operands, has one kernel for all of them.
    """

    name: str
    static: bool = False
    renumbers: bool = False
    _buffers: dict[int, tuple[str, DType, bool, int]] = field(
        default_factory=dict
    )  # slot: name, dtype, written, index
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
        """The operand's number in names of parameters."""
        return (
            self._numbers.setdefault(operand.index, len(self._numbers)) if self.renumbers else operand.index
        )

    def _parameter(self, name: str, dtype: DType, argument: Argument) -> Expr:
        while (known := self._known.get(name)) is not None and known != argument:
            name += "_"  # the same place with another value: two traversals of one operand
        if known is None:
            self._known[name] = argument
            self._named[name] = variable(name, dtype)
            self._parameters.append(Parameter(name, dtype))
            self._arguments.append(argument)
        return self._named[name]

    def integer(self, name: str, value: int) -> Expr:
        """A size, stride or other integer known to the host."""
        return const(value, INDEX) if self.static else self._parameter(name, INDEX, value)

    def number(self, name: str, value: float, dtype: DType) -> Expr:
        """A floating-point value known to the host, as a parameter."""
        return const(value, dtype) if self.static else self._parameter(name, dtype, value)

    def scalar(self, operand: Operand, dtype: DType) -> Expr:
        """A Python scalar operand, as a parameter of type ``dtype``."""
        wide = dtypes.int64 if dtype.kind == "bool" else dtype
        return cast(self._parameter(f"v{self._number(operand)}", wide, Scalar(operand.index)), dtype)

    def axes(self, shape: Sequence[int], prefix: str = "i") -> list[Expr]:
        """The part's index space; gives its variables, outermost first."""
        made = self._make_axes(shape, prefix)
        self._axes.extend(made)
        return [axis.variable for axis in made]

    def reduce_axes(self, shape: Sequence[int], prefix: str = "r") -> list[Expr]:
        """The part's reduction space; gives its variables, outermost first."""
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
        assert dtype is operand.dtype, "values of one slot have one type"
        self._buffers[operand.slot] = (name, dtype, was_written or written, index)
        return name

    def offset(self, operand: Operand) -> Expr:
        """Where the operand's element 0 lies in its bound buffer; known only at the call, so never constant."""
        return self._parameter(f"o{self._number(operand)}", INDEX, Offset(operand.index))

    def index(
        self,
        operand: Operand,
        indices: Sequence[Expr],
        strides: Sequence[int] | None = None,
        shift: Expr | None = None,
    ) -> Expr:
        """The element index of ``operand`` at ``indices``, with its own strides or the given ones, plus ``shift``."""
        strides = operand.strides if strides is None else strides
        total = self.offset(operand) if shift is None else self.offset(operand) + shift
        last = len(strides) - 1
        # neighbours along the last axis of points are read and written as vectors: that 0 and 1 show in the kernel,
        # and of an operand that is transposed to it the 1 along the last but one
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
        """The operand's element, widened to its compute type; ``other`` where ``valid`` is false."""
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
        """A fold of ``value`` over the reduction axes; gives the variable of its result."""
        dtype = INDEX if combine in ("argmax", "argmin") else value.dtype
        result = variable(f"acc{len(self._parts)}_{len(self._reductions)}", dtype)
        self._reductions.append(Reduction(result, combine, simplify(value)))
        return result

    def check(self, valid: Expr, value: Expr, inner: bool = False) -> None:
        """Report ``value`` as an index out of range where ``valid`` is false."""
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
        """``operand[indices] = value``, converted to the operand's compute type; ``shift`` elements further on."""
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
        """The kernel and its arguments. Read-only buffers come first, written ones last."""
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
