"""Custom WGSL kernels as ops: sizes are solved from the operands, and a call is one dispatch without a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from weft import dtypes
from weft.custom.limits import check_work
from weft.custom.sizes import Declared, evaluate, names_in, solve
from weft.custom.wgsl import Source, counts
from weft.dtypes import DType
from weft.errors import ArgumentError, DTypeError, GradError, ShapeError, UnsupportedError, mistake
from weft.kernels import KernelProgram, KernelStep, Scalar
from weft.ops import OpSpec, TensorType
from weft.ops.registry.spec import KernelRequest
from weft.target import TargetProfile

LOOP = "a loop"
"""The subject of the error that a kernel reports for a loop that the driver aborted."""
_MOST = "max-compute-workgroups-per-dimension"
_LIMITS = (
    "max-compute-workgroup-size-x", "max-compute-workgroup-size-y", "max-compute-workgroup-size-z",
)  # fmt: skip


def declare_source(
    name: str,
    text: str,
    inputs: tuple[Declared, ...],
    outputs: tuple[Declared, ...],
    parameters: Mapping[str, DType],
    size: int | tuple[int, ...],
    count: str | tuple[str, ...] | None,
    doc: str,
) -> tuple[OpSpec, Source, frozenset[str]]:
    """Return the op of a WGSL kernel, its source, and the integer parameters that occur in sizes."""
    if not outputs:
        raise ArgumentError(mistake(name, "outputs", "none", "at least one, such as 'out: f32[n]'"))
    for declared in (*inputs, *outputs):
        if declared.sizes is None:
            raise ArgumentError(mistake(name, declared.name, "without sizes", f"'{declared.name}: f32[n]'"))
    group = _three(name, "workgroup_size", size, 1)
    if not all(isinstance(part, int) and part > 0 for part in group):
        raise ArgumentError(mistake(name, "workgroup_size", size, "one to three positive integers"))
    total = "*".join(f"({part})" for part in outputs[0].sizes or ()) or "1"
    invocations = group[0] * group[1] * group[2]
    wanted = _three(
        name, "workgroup_count", f"ceil_div({total}, {invocations})" if count is None else count, "1"
    )
    count_texts = tuple(str(part) for part in wanted)
    dimensions = sorted({n for value in (*inputs, *outputs) for n in value.names} - parameters.keys())
    used = {n for text in count_texts for n in names_in(text)}
    unknown = sorted(used - set(dimensions) - parameters.keys())
    if unknown:
        raise ArgumentError(
            mistake(name, "workgroup_count", f"{unknown[0]!r}, which no input gives",
                    f"dimensions and integer parameters: {', '.join([*dimensions, *parameters]) or 'none'}")
        )  # fmt: skip
    fixed = frozenset(parameters) & (used | {n for value in (*inputs, *outputs) for n in value.names})
    for parameter in sorted(fixed):
        if not parameters[parameter].is_integer:
            raise ArgumentError(
                mistake(name, f"parameter {parameter}", parameters[parameter].name, "an integer in a size")
            )
    readable = (*parameters.items(), *((n, dtypes.uint32) for n in dimensions))
    source = Source(name, text, inputs, outputs, readable, (group[0], group[1], group[2]))
    source.check()
    infer = _infer(name, inputs, outputs)
    op = OpSpec(
        f"custom.{name}", infer=infer, reference=_no_reference(name), gradient=_no_gradient(name), dense=True,
        lower=_lower(source, inputs, parameters, fixed, count_texts),
        reports=LOOP if source.loops else "", doc=doc or f"The custom kernel {name}.",
    )  # fmt: skip
    return op, source, fixed


def _three(name: str, argument: str, given: Any, missing: Any) -> tuple[Any, Any, Any]:
    parts = (given,) if isinstance(given, int | str) else tuple(given)
    if not 1 <= len(parts) <= 3:
        raise ArgumentError(mistake(name, argument, f"{len(parts)} values", "one to three"))
    padded = (*parts, missing, missing)
    return padded[0], padded[1], padded[2]


def _infer(
    name: str, inputs: tuple[Declared, ...], outputs: tuple[Declared, ...]
) -> Callable[..., tuple[TensorType, ...]]:
    def infer(*types: TensorType, sizes: tuple[tuple[str, int], ...]) -> tuple[TensorType, ...]:
        for declared, given in zip(inputs, types, strict=False):
            if given.dtype is not declared.dtype:
                expected = declared.dtype.name if declared.dtype else "any"
                raise DTypeError(mistake(name, f"argument {declared.name}", given.dtype.name, expected))
        values = solve(name, inputs, [given.shape for given in types[: len(inputs)]], dict(sizes))
        made = []
        for declared in outputs:
            shape = tuple(evaluate(name, size, values) for size in declared.sizes or ())
            for size, found in zip(declared.sizes or (), shape, strict=True):
                if found < 0:
                    raise ShapeError(
                        mistake(name, f"the size {size} of output {declared.name}", found, "0 or more")
                    )
            made.append(TensorType(shape, declared.dtype or dtypes.float32))
        return tuple(made)

    return infer


def _lower(
    source: Source,
    inputs: tuple[Declared, ...],
    parameters: Mapping[str, DType],
    fixed: frozenset[str],
    count: tuple[str, ...],
) -> Callable[..., KernelProgram]:
    def lower(request: KernelRequest) -> KernelProgram:
        spec = source.spec(request.profile)
        tensors = request.operands[: len(inputs)]
        values = solve(
            source.name, inputs, [tensor.shape for tensor in tensors], dict(request.attributes["sizes"])
        )
        _check_group(source, request.profile)
        most = request.profile.limits.get(_MOST, 65535)
        groups = counts(source.name, [evaluate(source.name, text, values) for text in count], most)
        invocations = math.prod(groups) * math.prod(source.workgroup_size)
        check_work(source.name, source.plain, invocations, request.profile.software)
        free = iter(range(len(inputs), len(request.operands)))
        places = {name: Scalar(next(free)) for name in parameters if name not in fixed}
        arguments = [places[name] if name in places else values[name] for name, _ in source.parameters]
        buffers = tuple(operand.index for operand in (*tensors, *request.outputs))
        return KernelProgram((KernelStep(spec, buffers, (*arguments, *groups)),))

    return lower


def _check_group(source: Source, profile: TargetProfile) -> None:
    """Raise ``ArgumentError`` for a workgroup larger than the target's limits."""
    x, y, z = source.workgroup_size
    for name, given, default in zip(_LIMITS, (x, y, z), (256, 256, 64), strict=True):
        most = profile.limits.get(name, default)
        if given > most:
            raise ArgumentError(
                mistake(source.name, "workgroup_size", source.workgroup_size, f"{name} is {most} here")
            )
    most = profile.limits.get("max-compute-invocations-per-workgroup", 256)
    if x * y * z > most:
        raise ArgumentError(
            mistake(
                source.name,
                "workgroup_size",
                f"{source.workgroup_size}, {x * y * z} invocations",
                f"at most {most}",
            )
        )


def _no_reference(name: str) -> Callable[..., Any]:
    def reference(*_: Any, **__: Any) -> Any:
        raise UnsupportedError(f"{name}: a kernel in WGSL has no NumPy form")

    return reference


def _no_gradient(name: str) -> Callable[..., Any]:
    def gradient(*_: Any) -> Any:
        raise GradError(
            f"{name}: a gradient is needed of a kernel in WGSL, which has none; call the kernel in the forward of an "
            f"autograd.Function whose backward computes the gradient, or under no_grad()"
        )

    return gradient
