"""Scans along a dimension: cumulative sums, products, maxima and linear recurrences.

The order of the operations depends on the dimension's length alone. Gradients are scans too: that of ``cumprod`` is a
linear recurrence, which needs no special case for zeros, and the gradient of a recurrence is the reversed recurrence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import DTypeError, ShapeError, mistake
from weft.kernels import Argument, KernelProgram, KernelStep, Library, Offset, Operand, coalesce
from weft.kernels.library.scans import SCANS, accumulator, block
from weft.ops.make.creation import to_dtype
from weft.ops.pointwise.expressions import pointwise
from weft.ops.reduce.checked_sums import checked_total, is_short
from weft.ops.reduce.sorting import Sorted, rows_of
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import FUNCTIONS, function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import ROWS
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.registry.temporaries import Scratch
from weft.ops.views.ops import SLICE, copy_step
from weft.target import TargetProfile

SERIAL = 64
"""The longest rows that are scanned by an invocation each, whatever their number."""
MANY = 16384
"""The number of rows from which rows up to a block's length are scanned by an invocation each."""


class _Rows:
    """The operands of a scan as rows along the last axis, below at most two outer axes that all operands share."""

    def __init__(self, operands: Sequence[Operand], reverse: bool) -> None:
        shape = operands[0].shape
        sizes, strides = coalesce(shape[:-1], [operand.strides[:-1] for operand in operands])
        self.fits = len(sizes) <= 2
        self.sizes = (1,) * (2 - len(sizes)) + sizes
        self.n = shape[-1]
        self._strides = dict(zip((id(operand) for operand in operands), strides, strict=True))
        self._reverse = reverse

    def arguments(self, operand: Operand) -> list[Argument]:
        """Return the kernel arguments of an operand: where its rows start, and its strides."""
        own = self._strides[id(operand)]
        along = operand.strides[-1]
        first = (self.n - 1) * along if self._reverse else 0
        return [
            Offset(operand.index),
            first,
            *(0,) * (2 - len(own)),
            *own,
            -along if self._reverse else along,
        ]


def scan_program(
    kind: str,
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
    free: int | None = None,
) -> KernelProgram:
    """Return the steps of a scan along ``dim``; operands with more than two outer axes are copied first.

    ``free`` is the number of the first temporary; by default it follows operands and outputs.
    """
    dim, reverse = attributes["dim"], attributes.get("reverse", False)
    scratch = Scratch(len(operands) + len(outputs) if free is None else free)
    before: list[KernelStep] = []
    after: list[KernelStep] = []
    sources, targets = ([rows_of(operand, dim) for operand in group] for group in (operands, outputs))
    if not _Rows([*sources, *targets], reverse).fits:
        sources = [_copied(source, scratch, before, True) for source in sources]
        targets = [_copied(target, scratch, after, False) for target in targets]
    rows = _Rows([*sources, *targets], reverse)
    if not profile.capabilities.workgroups:
        steps = [_step(kind, sources, targets, rows, {})]
    else:
        steps = _wgsl_steps(kind, sources, targets, rows, profile, scratch)
    return scratch.program((*before, *steps, *after))


def _copied(operand: Operand, scratch: Scratch, steps: list[KernelStep], is_source: bool) -> Operand:
    """Return a contiguous temporary in an operand's place, filled before the scan or copied back after it."""
    dense = scratch.take(operand.dtype, operand.shape)
    given, made = (operand, dense) if is_source else (dense, operand)
    steps.append(copy_step("copy", given, made, operand.shape, given.strides, made.strides))
    return dense


def _step(
    kind: str,
    sources: Sequence[Operand],
    targets: Sequence[Operand],
    rows: _Rows,
    options: dict[str, Any],
    *extra: int,
) -> KernelStep:
    buffers = [*sources, *targets]
    values: list[Argument] = [*rows.sizes, rows.n]
    for buffer in buffers:
        values += rows.arguments(buffer)
    library = Library("scan", tuple(each.dtype for each in buffers), (("scan", kind), *options.items()))
    return KernelStep(library, tuple(each.index for each in buffers), (*values, *extra))


def _wgsl_steps(
    kind: str, sources: list[Operand], targets: list[Operand], rows: _Rows, profile: TargetProfile,
    scratch: Scratch, states: bool = False,
) -> list[KernelStep]:  # fmt: skip
    count, length = math.prod(rows.sizes), block(profile)
    if not states and (rows.n <= SERIAL or (count >= MANY and rows.n <= length)):
        return [_step(kind, sources, targets, rows, {"form": "serial", "stage": "whole", "states": states})]
    blocks = -(-rows.n // length)
    if blocks == 1:
        return [
            _step(kind, sources, targets, rows, {"form": "blocks", "stage": "whole", "states": states}, 1)
        ]
    value = sources[0].dtype if states else accumulator(kind, sources[0].dtype, wide=False)
    shape = (*rows.sizes, blocks)
    totals, scanned = ([scratch.take(t, shape) for t in SCANS[kind].types(value)] for _ in range(2))
    outer = _Joined(rows, totals, scanned)
    options = {"form": "blocks", "stage": "totals", "states": states}
    steps = [_step(kind, sources, totals, outer, options, blocks)]
    steps += _wgsl_steps(kind, totals, scanned, _Rows([*totals, *scanned], False), profile, scratch, True)
    options = {"form": "blocks", "stage": "carry", "states": states}
    return [*steps, _step(kind, [*sources, *scanned], targets, outer, options, blocks)]


class _Joined(_Rows):
    """The rows of a scan and the totals of its blocks, which are never reversed and have axes of their own."""

    def __init__(self, rows: _Rows, totals: Sequence[Operand], scanned: Sequence[Operand]) -> None:
        self.sizes, self.n, self.fits = rows.sizes, rows.n, True
        self._rows = rows
        self._own = {id(operand): operand for operand in (*totals, *scanned)}

    def arguments(self, operand: Operand) -> list[Argument]:
        """Return the kernel arguments of an operand: where its rows start, and its strides."""
        if id(operand) in self._own:
            return [Offset(operand.index), 0, *operand.strides]
        return self._rows.arguments(operand)


def _lower(kind: str) -> Callable[..., KernelProgram]:
    def lower(request: KernelRequest) -> KernelProgram:
        program = scan_program(kind, request.operands, request.outputs, request.attributes, request.profile)
        target = request.outputs[0]
        is_total = kind in ("cumsum", "cumprod") and not request.attributes.get("fits", False)
        if not is_total or not is_short(target, request.profile) or not math.prod(target.shape):
            return program

        def again(into: Operand, free: int) -> KernelProgram:
            scratch, steps = Scratch(free), list[KernelStep]()
            x = request.operands[0]
            source = scratch.take(dtypes.float32, x.shape)
            steps.append(copy_step("copy", x, source, x.shape, x.strides, source.strides))
            more = scan_program(kind, (source,), (into,), request.attributes, request.profile, free + 1)
            return KernelProgram((*steps, *more.steps), (*scratch.taken, *more.temporaries))

        return checked_total(program, target, len(request.operands) + len(request.outputs), again)

    return lower


def _wide(x: Any) -> Any:
    return x.astype("float64") if dtypes.from_numpy(x.dtype).kind == "float" else x


def _fold(ufunc: str) -> Callable[..., Any]:
    def reference(x: Any, *, dim: int, reverse: bool = False, fits: bool = False) -> Any:
        import numpy

        if not x.ndim:
            return x.copy()
        given = numpy.flip(_wide(x), dim) if reverse else _wide(x)
        found = getattr(numpy, ufunc).accumulate(given, dim)
        return (numpy.flip(found, dim) if reverse else found).astype(x.dtype)

    return reference


def _infer_same(
    x: TensorType, *, dim: int, reverse: bool = False, fits: bool = False
) -> tuple[TensorType, ...]:
    if x.dtype is dtypes.bool_:
        raise DTypeError("a cumulative op of bool was bound, expected a number type; cast it")
    return (x,)


def _reversed(context: Gradient) -> dict[str, Any]:
    return {"dim": context.attributes["dim"], "reverse": not context.attributes["reverse"]}


def shifted(value: Any, dim: int, reverse: bool, fill: float) -> Any:
    """Return each element's predecessor along ``dim``, or its successor (``reverse``); ``fill`` where there is none."""
    if not value.shape:
        return bind(lookup("full"), fill, shape=(), dtype=value.dtype, device=str(value.device))
    n = value.shape[dim]
    edge = tuple(min(size, 1) if d == dim else size for d, size in enumerate(value.shape))
    padding = bind(lookup("full"), fill, shape=edge, dtype=value.dtype, device=str(value.device))
    start = 1 if reverse else 0
    rest = bind(SLICE, value, dim=dim, start=min(start, n), stop=max(n - 1 + start, min(start, n)), step=1)
    return bind(lookup("cat"), *((rest, padding) if reverse else (padding, rest)), dim=dim)


_ALONG = ({"dim": int}, {"dim": int, "reverse": bool}, {"dim": int, "reverse": bool, "fits": bool})
"""``fits``: results are known to be below 2**31, and are not checked for overflow."""
CUMSUM: OpSpec = declare(
    "cumsum", rules=ROWS.but(tangent="linear", precision="float32"),
    infer=_infer_same, reference=_fold("add"), lower=_lower("cumsum"),
    gradient=lambda context, grad: [bind(CUMSUM, grad, **_reversed(context))], reports="total",
    attributes=_ALONG, doc="Cumulative sums along a dimension, from the front, or in reverse from the back.",
)  # fmt: skip


def _gradient_cumprod(context: Gradient, grad: Any) -> list[Any]:
    """With s_j = g_j + x_{j+1} s_{j+1}, the gradient of x_j is s_j times the product of the elements before j."""
    dim, reverse = context.attributes["dim"], context.attributes["reverse"]
    x = context.input(0)
    before = shifted(bind(CUMPROD, x, dim=dim, reverse=reverse), dim, reverse, 1)
    after = bind(RECURRENCE, shifted(x, dim, not reverse, 0), grad, dim=dim, reverse=not reverse)
    return [bind(lookup("mul"), before, after)]


CUMPROD: OpSpec = declare(
    "cumprod", rules=ROWS.but(precision="float32"),
    infer=_infer_same, reference=_fold("multiply"), lower=_lower("cumprod"), gradient=_gradient_cumprod,
    saves=(0,), reports="total", attributes=_ALONG,
    doc="Cumulative products along a dimension, from the front, or in reverse from the back.",
)  # fmt: skip


def _infer_recurrence(a: TensorType, b: TensorType, *, dim: int, reverse: bool) -> tuple[TensorType, ...]:
    arguments.floating("recurrence", "a", a.dtype)
    if a != b:
        raise ShapeError(mistake("recurrence", "b", b, f"{a}, as a"))
    return (b,)


def _reference_recurrence(a: Any, b: Any, *, dim: int, reverse: bool) -> Any:
    import numpy

    if not b.ndim:
        return b.copy()
    result = numpy.zeros_like(_wide(b))
    rows, factors, terms = (numpy.moveaxis(each, dim, 0) for each in (result, _wide(a), _wide(b)))
    state = numpy.zeros(rows.shape[1:])
    for at in range(len(rows))[:: -1 if reverse else 1]:
        state = factors[at] * state + terms[at]
        rows[at] = state
    return result.astype(b.dtype)


def _gradient_recurrence(context: Gradient, grad: Any) -> list[Any]:
    dim, reverse = context.attributes["dim"], context.attributes["reverse"]
    a = context.input(0)
    by_b = bind(RECURRENCE, shifted(a, dim, not reverse, 0), grad, dim=dim, reverse=not reverse)
    by_a = None
    if context.needs[0]:
        state = bind(RECURRENCE, a, context.input(1), dim=dim, reverse=reverse)
        by_a = bind(lookup("mul"), by_b, shifted(state, dim, reverse, 0))
    return [by_a, by_b]


RECURRENCE: OpSpec = declare(
    "recurrence", rules=ROWS,
    infer=_infer_recurrence, reference=_reference_recurrence, lower=_lower("recurrence"),
    gradient=_gradient_recurrence, saves=lambda needs: (0, 1) if needs[0] else (0,),
    doc="h_t = a_t h_{t-1} + b_t along a dimension, h starting from 0; in reverse from the back.",
)  # fmt: skip


EXP_DIFFERENCE = pointwise(
    "exp_difference", "where(x == y, 1.0, exp(x - y))", "x y", "exp(x - y), 1 of equal infinities.", kinds="f",
    derivative=("g * out", "-(g * out)"),
)  # fmt: skip


def _gradient_logcumsumexp(context: Gradient, grad: Any) -> list[Any]:
    """exp(x_j - y_j) t_j with t_j = g_j + exp(y_j - y_{j+1}) t_{j+1}: y never falls, so nothing overflows."""
    dim, reverse = context.attributes["dim"], context.attributes["reverse"]
    x, y = context.input(0), context.output()
    decay = bind(EXP_DIFFERENCE, y, shifted(y, dim, not reverse, math.inf))
    total = bind(RECURRENCE, decay, grad, dim=dim, reverse=not reverse)
    return [bind(lookup("mul"), bind(EXP_DIFFERENCE, x, y), total)]


def _infer_floating(x: TensorType, *, dim: int, reverse: bool) -> tuple[TensorType, ...]:
    arguments.floating("logcumsumexp", "input", x.dtype)
    return (x,)


LOGCUMSUMEXP = declare(
    "logcumsumexp", rules=ROWS.but(precision="float32"),
    infer=_infer_floating, reference=_fold("logaddexp"), lower=_lower("logcumsumexp"),
    gradient=_gradient_logcumsumexp, saves=(0,), saves_output=True,
    doc="Cumulative log(sum(exp(x))) along a dimension, without overflow.",
)  # fmt: skip


def _declare_extreme(name: str, doc: str) -> OpSpec:
    def infer(x: TensorType, *, dim: int) -> tuple[TensorType, ...]:
        return (x, TensorType(x.shape, dtypes.int64))

    def reference(x: Any, *, dim: int) -> Any:
        import numpy

        if not x.ndim:
            return x.copy(), numpy.zeros((), "int64")
        values, places = x.copy(), numpy.zeros(x.shape, "int64")
        rows, at = numpy.moveaxis(values, dim, 0), numpy.moveaxis(places, dim, 0)
        for i in range(1, len(rows)):
            own, best = _wide(rows[i]), _wide(rows[i - 1])
            later = ((own >= best) if name == "cummax" else (own <= best)) | (own != own)
            rows[i] = numpy.where(later, rows[i], rows[i - 1])
            at[i] = numpy.where(later, i, at[i - 1])
        return values, places

    def gradient(context: Gradient, grad: Any, _: Any) -> list[Any]:
        zeros = bind(
            lookup("full"), 0, shape=context.types[0].shape, dtype=grad.dtype, device=str(grad.device)
        )
        return [FUNCTIONS["scatter_add"].function(zeros, context.attributes["dim"], context.output(1), grad)]

    return declare(
        name,
        rules=ROWS,
        infer=infer,
        reference=reference,
        lower=_lower(name),
        gradient=gradient,
        saves_output=True,
        doc=doc,
    )


CUMMAX = _declare_extreme("cummax", "Cumulative maxima along a dimension, and their last places.")
CUMMIN = _declare_extreme("cummin", "Cumulative minima along a dimension, and their last places.")


def _running(op: OpSpec, input: Any, dim: int, dtype: DType | None) -> Any:
    x = arguments.tensor(op.name, "input", input)
    if dtype is not None:
        x = to_dtype(x, arguments.data_type(op.name, dtype))
    elif x.dtype.kind != "float" and op is not LOGCUMSUMEXP:
        x = to_dtype(x, dtypes.int64)
    place = arguments.dimension(op.name, dim, len(x.shape))
    return bind(op, x, dim=place, reverse=False)


@function(inplace=True, out=CUMSUM)
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Cumulative sums along ``dim``; integers and bool sum to int64.

    >>> import weft as wf
    >>> wf.cumsum(wf.tensor([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    return _running(CUMSUM, input, dim, dtype)


@function(inplace=True, out=CUMPROD)
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Cumulative products along ``dim``; integers and bool multiply to int64."""
    return _running(CUMPROD, input, dim, dtype)


@function(out=LOGCUMSUMEXP)
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Cumulative ``log(sum(exp(x)))`` along ``dim``, without overflow; floating point."""
    return _running(LOGCUMSUMEXP, input, dim, None)


@function(out=CUMMAX)
def cummax(input: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Cumulative maxima along ``dim`` and their last indices: ``(values, indices)``; NaN is propagated."""
    x = arguments.tensor("cummax", "input", input)
    return Sorted(*bind(CUMMAX, x, dim=arguments.dimension("cummax", dim, len(x.shape))))


@function(out=CUMMIN)
def cummin(input: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Cumulative minima along ``dim`` and their last indices: ``(values, indices)``; NaN is propagated."""
    x = arguments.tensor("cummin", "input", input)
    return Sorted(*bind(CUMMIN, x, dim=arguments.dimension("cummin", dim, len(x.shape))))
