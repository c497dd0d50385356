"""``cached_attention``: attention of new tokens to the keys and values of their rows in a paged cache.

Token n with query head h attends to the keys j of its row ``r = rows[n]`` from ``max(0, positions[n] - window + 1)``
to ``positions[n]``. Key j is ``keys[pages[r, j // S], j % S, h // (H / KV)]`` for pages of S slots:

    score[j] = scale * sum(query[n, h] * key[j])
    score[j] = softcap * tanh(score[j] / softcap)                        with a softcap
    out[n, h] = sum(exp(score[j]) * value[j]) / (sum(exp(score[j])) + exp(sinks[h]))      without sinks: + 0

The lengths are read at run time: one kernel serves all positions. Exponentials are taken relative to the largest
score, tile by tile of keys (Dao, FlashAttention-2, 2023). A token whose position is negative is padding; its result
is 0. Indices in ``pages`` and ``rows`` are not checked.
"""

from __future__ import annotations

from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.expr import call, const, where
from weft.expr.node import INDEX
from weft.kernels import Argument, Builder, KernelProgram, KernelStep, Library, Offset, Operand
from weft.kernels.library import cached_attentions as cached
from weft.kernels.library.attentions import LARGEST_HEAD
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import KernelRequest, TensorType
from weft.ops.registry.table import declare
from weft.ops.registry.temporaries import Scratch, is_dense
from weft.ops.views.ops import copy_step

JOBS = 64
"""The most runs of units of work on the CPU, each with scratch of its own."""
UNBOUNDED = 1 << 30
"""The window of a layer that has none."""
NUMBERS = (dtypes.float16, dtypes.bfloat16, dtypes.float32)
_NAME = "cached_attention"


def _wrong(error: type[ShapeError | DTypeError], what: str, given: Any, expected: str) -> None:
    raise error(mistake(_NAME, what, given, expected))


def _check_tensors(query: TensorType, keys: TensorType, values: TensorType, sinks: TensorType | None) -> None:
    for name, given, rank in (("query", query, 3), ("keys", keys, 4), ("values", values, 4)):
        if len(given.shape) != rank or 0 in given.shape[1:] or given.shape[-1] > LARGEST_HEAD:
            layout = "(tokens, heads, size)" if rank == 3 else "(pages, page size, shared heads, size)"
            _wrong(ShapeError, f"{name}'s shape", given.shape,
                   f"{layout} with no size 0 and heads of at most {LARGEST_HEAD} elements")  # fmt: skip
        if given.dtype not in NUMBERS:
            _wrong(DTypeError, f"{name}'s dtype", given.dtype.name, "float16, bfloat16 or float32")
    (_, heads, size), (pages, slots, shared, _) = query.shape, keys.shape
    if keys.shape[-1] != size or heads % shared or not pages:
        _wrong(
            ShapeError, "keys' shape", keys.shape, f"(pages, page size, heads that divide {heads}, {size})"
        )
    if values.shape[:3] != keys.shape[:3]:
        _wrong(ShapeError, "values' shape", values.shape, f"({pages}, {slots}, {shared}, size)")
    if values.dtype is not keys.dtype:
        _wrong(DTypeError, "values' dtype", values.dtype.name, f"{keys.dtype.name}, as the keys'")
    if sinks is not None and sinks.shape != (heads,):
        _wrong(ShapeError, "sinks' shape", sinks.shape, f"({heads},), a number for each head")
    if sinks is not None and sinks.dtype not in NUMBERS:
        _wrong(DTypeError, "sinks' dtype", sinks.dtype.name, "float16, bfloat16 or float32")


def _infer(
    query: TensorType, keys: TensorType, values: TensorType, pages: TensorType, rows: TensorType,
    positions: TensorType, sinks: TensorType | None = None, *, scale: float, window: int | None,
    softcap: float | None,
) -> tuple[TensorType, ...]:  # fmt: skip
    _check_tensors(query, keys, values, sinks)
    tokens = query.shape[0]
    if len(pages.shape) != 2 or not pages.shape[1] or (tokens and not pages.shape[0]):
        _wrong(ShapeError, "pages' shape", pages.shape, "(rows, pages of a row)")
    for name, given in (("rows", rows), ("positions", positions)):
        if given.shape != (tokens,):
            _wrong(ShapeError, f"{name}' shape", given.shape, f"({tokens},), a number for each token")
    for name, given in (("pages", pages), ("rows", rows), ("positions", positions)):
        if given.dtype not in (dtypes.int32, dtypes.int64):
            _wrong(DTypeError, f"{name}' dtype", given.dtype.name, "int32 or int64")
    if window is not None and window < 1:
        raise ArgumentError(mistake(_NAME, "window", window, "None or at least 1"))
    if softcap is not None and not softcap > 0:
        raise ArgumentError(mistake(_NAME, "softcap", softcap, "None or more than 0"))
    return (TensorType((*query.shape[:2], values.shape[3]), query.dtype),)


def _reference(
    query: Any, keys: Any, values: Any, pages: Any, rows: Any, positions: Any, sinks: Any = None, *,
    scale: float, window: int | None, softcap: float | None,
) -> Any:  # fmt: skip
    import numpy

    slots, group = keys.shape[1], query.shape[1] // keys.shape[2]
    out = numpy.zeros((*query.shape[:2], values.shape[3]))
    for token, (row, position) in enumerate(zip(rows, positions, strict=True)):
        if position < 0:
            continue
        first = 0 if window is None else max(0, int(position) - window + 1)
        seen = numpy.arange(first, int(position) + 1)
        places = pages[row][seen // slots], seen % slots
        k, v = (numpy.repeat(part[places].astype("float64"), group, axis=1) for part in (keys, values))
        scores = numpy.einsum("hd,jhd->hj", query[token].astype("float64"), k) * scale
        if softcap is not None:
            scores = softcap * numpy.tanh(scores / softcap)
        more = numpy.full((len(scores), 1), -numpy.inf) if sinks is None else sinks.astype("float64")[:, None]
        largest = numpy.maximum(scores.max(1, keepdims=True), more)
        weights = numpy.exp(scores - largest)
        total = weights.sum(1, keepdims=True) + numpy.exp(more - largest)
        out[token] = numpy.einsum("hj,jhe->he", weights / total, v)
    return out.astype(query.dtype)


def _ready(scratch: Scratch, steps: list[KernelStep], operand: Operand, dense: bool) -> Operand:
    """Return the operand, or a contiguous copy where a kernel cannot read it."""
    if is_dense(operand) if dense else operand.strides[-1] == 1 or operand.shape[-1] == 1:
        return operand
    copy = scratch.take(operand.dtype, operand.shape)
    steps.append(copy_step("copy", operand, copy, operand.shape, operand.strides, copy.strides))
    return copy


def _lower(request: KernelRequest) -> KernelProgram:
    scratch, steps = Scratch.of(request), list[KernelStep]()
    names = cached.reads(len(request.operands) > 6)
    named = {
        name: _ready(scratch, steps, operand, len(cached.suffixes(name)) == 1)
        for name, operand in zip(names, request.operands, strict=True)
    }
    out = request.outputs[0]
    (tokens, heads, _), (table_rows, columns) = named["q"].shape, named["pages"].shape
    shared, capacity = named["k"].shape[2], columns * named["k"].shape[1]
    group, of_row = heads // shared, -(-tokens // max(1, table_rows))
    options: dict[str, int | str | bool] = {"group": group}
    if request.profile.capabilities.workgroups:
        memory = request.profile.limits.get("max-compute-workgroup-storage-size", 16384)
        each, pieces, options["heads"] = cached.gpu_division(
            of_row, group, capacity, named["q"].shape[2], memory
        )
    else:
        each, pieces = cached.cpu_division(of_row, group, shared)
    if pieces > 1:
        named["parts"] = scratch.take(dtypes.float32, (tokens, heads, pieces, out.shape[2]))
        named["stats"] = scratch.take(dtypes.float32, (tokens, heads, pieces, 2))
    else:
        unit = out.strides[2] == 1 or out.shape[2] == 1
        named["out"] = out if unit else scratch.take(out.dtype, out.shape)
    steps.append(_step(request, named, {**options, "each": each, "pieces": pieces}, scratch))
    if pieces > 1:
        steps.append(_combine(named, out))
    elif named["out"] is not out:
        steps.append(copy_step("copy", named["out"], out, out.shape, named["out"].strides, out.strides))
    return scratch.program(steps)


def _in_fours(operand: Operand) -> bool:
    """Return whether the elements of each head can be loaded as aligned vectors of four."""
    strides = zip(operand.shape[:-1], operand.strides[:-1], strict=True)
    return operand.aligned and operand.shape[-1] % 4 == 0 and all(n == 1 or s % 4 == 0 for n, s in strides)


def _step(
    request: KernelRequest, named: dict[str, Operand], options: dict[str, int | str | bool], scratch: Scratch
) -> KernelStep:
    """Return the call of the kernel over all keys, or pieces of them."""
    sinks, pieces, attributes = "sinks" in named, int(options["pieces"]), request.attributes
    window, softcap = attributes["window"], attributes["softcap"]
    (tokens, _, size), (_, slots, shared, value_size) = named["q"].shape, named["v"].shape
    columns = named["pages"].shape[1]
    order = (*cached.reads(sinks), *cached.writes(pieces))
    values = [named[name] for name in order]
    given = [
        tokens,
        shared,
        columns,
        columns * slots,
        UNBOUNDED if window is None else min(window, UNBOUNDED),
    ]
    arguments: list[Argument] = [*given, attributes["scale"], 1.0 if softcap is None else softcap]
    for name, operand in zip(order, values, strict=True):
        arguments.append(Offset(operand.index))
        if len(cached.suffixes(name)) > 1:
            arguments += operand.strides[:-1]
    options |= {
        "size": size,
        "value_size": value_size,
        "page": slots,
        "softcap": softcap is not None,
        "sinks": sinks,
    }
    if request.profile.capabilities.workgroups:
        fours = [name for name in ("q", "k", "v", "out") if name in order and _in_fours(named[name])]
        options["fours"] = " ".join(fours)
    else:
        room = cpu_room(int(options["group"]) * int(options["each"]), size, value_size)
        units = -(-tokens // int(options["each"])) * shared * pieces
        jobs = min(units, JOBS)
        values.append(scratch.take(dtypes.float32, (jobs * room,)))
        arguments += [jobs, room]
    library = Library(_NAME, tuple(value.dtype for value in values), tuple(sorted(options.items())))
    return KernelStep(library, tuple(value.index for value in values), tuple(arguments))


def cpu_room(rows: int, size: int, value_size: int) -> int:
    """Return the floats of scratch that a job on the CPU needs; see ``cached.cpu_layout``."""
    return cached.cpu_layout(rows, size, value_size)["end"]


def _combine(named: dict[str, Operand], out: Operand) -> KernelStep:
    """Return the kernel that combines the pieces of each token's keys, and the sinks."""
    parts, stats = named["parts"], named["stats"]
    builder = Builder("cached_attention_combine")
    token, head, element = builder.axes(out.shape)
    (piece,) = builder.reduce_axes((parts.shape[2],))
    largest, total = (builder.load(stats, [token, head, piece, const(at, INDEX)]) for at in range(2))
    peak = builder.reduce("max", largest)
    sink = None
    if "sinks" in named:
        sink = builder.load(named["sinks"], [head])
        peak = call("larger", peak, sink)
    weight = call("exp", largest - peak)
    sum_ = builder.reduce("sum", total * weight)
    value = builder.reduce("sum", builder.load(parts, [token, head, piece, element]) * weight)
    if sink is not None:
        sum_ = sum_ + call("exp", sink - peak)
    empty = call("eq", sum_, const(0.0, dtypes.float32))
    builder.store(out, [token, head, element], where(empty, const(0.0, dtypes.float32), value / sum_))
    return builder.finish()


CACHED_ATTENTION = declare(
    _NAME, rules=Rules("in_turn"), infer=_infer, reference=_reference, lower=_lower,
    doc="Attention of each token to the keys of its row in a paged cache, up to its own position.",
)  # fmt: skip
