"""The kernels of ``attention`` and its gradient: their tiles, their operands' strides, and the CPU's division of work.

All operands may be strided. On the CPU a BLAS reads them, which takes contiguous rows of float32 or float64; other
operands are copied. The division of work depends only on sizes, so that no result depends on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from weft.expr import const
from weft.expr.node import INDEX
from weft.kernels import Argument, Builder, KernelProgram, KernelStep, Library, Offset, Operand
from weft.kernels.library.attentions import CPU_KEYS, CPU_ROWS, FORMS, of_buffer, tile_for
from weft.ops.matmul.products import sum_pieces
from weft.ops.registry import sharing
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.spec import KernelRequest
from weft.ops.registry.temporaries import Scratch, is_dense
from weft.ops.views.ops import copy_step
from weft.target import TargetProfile

JOBS = 16
"""The most runs of tiles on the CPU, each with scratch of its own; threads take whole runs."""
UNITS = 8
"""The least parallel units of backward on the CPU: with fewer heads, queries are split and the results summed."""


@dataclass
class _AttentionBuilder:
    """Collects the steps of a program, and its temporaries."""

    profile: TargetProfile
    scratch: Scratch
    steps: list[KernelStep] = field(default_factory=list)

    def copied(self, source: Operand, target: Operand) -> None:
        """Add a copy of elements to the target, in the target's type."""
        self.steps.append(copy_step("copy", source, target, source.shape, source.strides, target.strides))


def lower(request: KernelRequest) -> KernelProgram:
    """``attention``: q, k, v and a mask to the output and ``sums``."""
    named = dict(zip(("q", "k", "v", "mask"), request.operands, strict=False)) | dict(
        zip(("out", "sums"), request.outputs, strict=True)
    )
    steps = _AttentionBuilder(request.profile, Scratch.of(request))
    sums = named["sums"]
    if not is_dense(sums):
        named["sums"] = steps.scratch.take(sums.dtype, sums.shape)
    if not request.profile.capabilities.workgroups:
        _on_cpu(steps, "forward", named, request.attributes)
    else:
        _on_gpu(steps, "forward", named, request.attributes)
    if named["sums"] is not sums:
        steps.copied(named["sums"], sums)
    return steps.scratch.program(steps.steps)


def lower_backward(request: KernelRequest) -> KernelProgram:
    """``attention_backward``: sums over rows, then the gradients."""
    names = ("grad", "out", "sums", "q", "k", "v", "mask")
    named = dict(zip(names, request.operands, strict=False)) | dict(
        zip(("dq", "dk", "dv"), request.outputs, strict=True)
    )
    steps = _AttentionBuilder(request.profile, Scratch.of(request))
    sums = named["sums"]
    named["stats"] = steps.scratch.take(sums.dtype, (*sums.shape[:3], 3))
    _stats(steps, named)
    if not request.profile.capabilities.workgroups:
        _on_cpu(steps, "backward", named, request.attributes)
    else:
        _on_gpu(steps, "query", named, request.attributes)
        _on_gpu(steps, "key", named, request.attributes)
    return steps.scratch.program(steps.steps)


def _stats(steps: _AttentionBuilder, named: dict[str, Operand]) -> None:
    """Write the ``stats`` of each row: its two ``sums``, and the inner product of its output with the gradient."""
    grad, out, sums, stats = (named[name] for name in ("grad", "out", "sums", "stats"))
    batch, length, heads, size = out.shape
    builder = Builder("attention_stats")
    points = builder.axes((batch, heads, length))
    (r,) = builder.reduce_axes((size,))

    def row_strides(operand: Operand) -> list[int]:
        b, l, h, _ = operand.strides  # noqa: E741
        return [b, h, l]

    reads = [(operand, row_strides(operand), operand.strides[3]) for operand in (grad, out)]
    values = [builder.load(operand, [*points, r], [*rows, along]) for operand, rows, along in reads]
    total = builder.reduce("sum", values[0] * values[1])
    kept = [builder.load(sums, [*points, const(at, INDEX)]) for at in range(2)]
    for at, value in enumerate((*kept, total)):
        builder.store(stats, [*points, const(at, INDEX)], value)
    shared = sharing.team(
        steps.profile, math.prod(sums.shape[:3]), size, all(along == 1 for *_, along in reads)
    )
    steps.steps.append(builder.finish(sharing.in_fours(shared, size, reads, [stats, sums]), shared))


def _arguments(form: str, named: dict[str, Operand], masked: bool, scale: float) -> list[Argument]:
    """Return the parameters of a form, in order."""
    q, k = named["q"], named["k"]
    values: list[Argument] = [q.shape[0], q.shape[2], k.shape[2], q.shape[1], k.shape[1], scale]
    buffers = FORMS[form]
    for name in (*buffers.reads(masked), *buffers.outputs):
        operand = named[name]
        values.append(Offset(operand.index))
        if len(of_buffer(name)) > 1:
            strides = zip(operand.shape, operand.strides, strict=True)
            values += [0 if size == 1 else stride for size, stride in strides]
    return values


def _step(
    form: str, named: dict[str, Operand], attributes: dict[str, Any],
    options: dict[str, int | str | bool], more: Sequence[Operand] = (), numbers: Sequence[Argument] = (),
) -> KernelStep:  # fmt: skip
    mask, buffers = named.get("mask"), FORMS[form]
    values = [*(named[name] for name in (*buffers.reads(mask is not None), *buffers.outputs)), *more]
    kind = "" if mask is None else "bool" if mask.dtype.kind == "bool" else "add"
    given = {"form": form, "causal": bool(attributes["causal"]), "mask": kind, **options}
    library = Library("attention", tuple(value.dtype for value in values), tuple(sorted(given.items())))
    arguments = (*_arguments(form, named, mask is not None, attributes["scale"]), *numbers)
    return KernelStep(library, tuple(value.index for value in values), arguments)


# A GPU.


def _in_fours(operand: Operand) -> bool:
    """Return whether each row of a head can be loaded as aligned vectors of four elements."""
    sizes = zip(operand.shape[:3], operand.strides[:3], strict=True)
    ready = operand.aligned and operand.strides[3] == 1 and operand.shape[3] % 4 == 0
    return ready and all(size == 1 or stride % 4 == 0 for size, stride in sizes)


def _on_gpu(
    steps: _AttentionBuilder, form: str, named: dict[str, Operand], attributes: dict[str, Any]
) -> None:
    names = (*FORMS[form].inputs, *FORMS[form].outputs)
    fours = [name for name in names if len(of_buffer(name)) > 1 and _in_fours(named[name])]
    size, value_size = named["q"].shape[3], named["v"].shape[3]
    rows = named["k" if form == "key" else "q"].shape[1]
    profile = steps.profile
    options: dict[str, int | str | bool] = {
        "size": size,
        "value_size": value_size,
        "tile": tile_for(profile.limits, profile.software, max(size, value_size), rows),
        "fours": " ".join(fours),
    }
    steps.steps.append(_step(form, named, attributes, options))


# The CPU.


def _in_rows(operand: Operand) -> bool:
    """Return whether a BLAS can read the rows of a head without a copy."""
    _, length, _, size = operand.shape
    return operand.strides[3] == 1 and (length == 1 or operand.strides[1] >= size)


def _ready(steps: _AttentionBuilder, operand: Operand) -> Operand:
    """Return the operand, or a dense copy where the CPU's kernel cannot read it."""
    if operand.dtype.bits >= 32 and _in_rows(operand):
        return operand
    dense = steps.scratch.take(operand.dtype.compute, operand.shape)
    steps.copied(operand, dense)
    return dense


def _on_cpu(
    steps: _AttentionBuilder, form: str, named: dict[str, Operand], attributes: dict[str, Any]
) -> None:
    named = dict(named)
    for name in FORMS[form].inputs:
        if len(of_buffer(name)) > 1:
            named[name] = _ready(steps, named[name])
    narrow: dict[str, Operand] = {}
    for name in FORMS[form].outputs:
        output = named[name]
        if len(of_buffer(name)) > 1 and (output.dtype.bits < 32 or not _in_rows(output)):
            narrow[name] = output
            named[name] = steps.scratch.take(output.dtype.compute, output.shape)
    mask = named.get("mask")
    if mask is not None and mask.dtype.kind == "float" and mask.dtype.bits < 32:
        named["mask"] = steps.scratch.take(mask.dtype.compute, mask.shape)
        steps.copied(mask, named["mask"])
    (batch, length, heads, size), (_, keys, shared, _) = named["q"].shape, named["k"].shape
    blocks = -(-length // CPU_ROWS)
    pieces, room = 1, min(CPU_ROWS, length) * (-(-min(CPU_KEYS, keys) // 16) * 16)
    units = batch * heads * blocks
    if form == "backward":
        pieces = max(1, min(blocks, UNITS // (batch * shared)))
        units, room = batch * shared * pieces, 2 * room
    parts: dict[str, Operand] = {}
    if pieces > 1:
        for name in ("dk", "dv"):
            parts[name] = named[name]
            whole = steps.scratch.take(named[name].dtype, (pieces, *named[name].shape))
            named[name] = replace(whole, shape=whole.shape[1:], strides=whole.strides[1:])
    jobs = min(units, JOBS)
    tiles = steps.scratch.take(named["q"].dtype, (jobs * room,))
    unit = mask is not None and mask.shape[3] > 1 and named["mask"].strides[3] == 1
    options: dict[str, int | str | bool] = {"unit": unit}
    numbers = [size, named["v"].shape[3], jobs, room, pieces]
    steps.steps.append(_step(form, named, attributes, options, [tiles], numbers))
    for name, target in parts.items():
        piece = named[name]
        shape = (pieces, *piece.shape)
        whole = Operand(piece.index, piece.dtype, shape, contiguous_strides(shape), piece.slot)
        steps.steps.append(sum_pieces(whole, target))
    for name, target in narrow.items():
        steps.copied(parts.get(name, named[name]), target)
