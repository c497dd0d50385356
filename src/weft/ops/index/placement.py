"""The ops ``index``, which reads at index tensors, and ``index_put`` and ``scatter``, which write or fold there.

This module has their declarations: types, references, gradients. The kernels of the writes are in ``placing``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from weft import dtypes
from weft.errors import DTypeError, GradError, IndexOutOfRangeError, ShapeError, UnsupportedError, mistake
from weft.kernels import Builder, KernelProgram, coalesce
from weft.ops.index.placing import MODES, index_points, lower_put, scatter_points, with_leading
from weft.ops.make.creation import to_dtype, zeros_of
from weft.ops.registry import arguments
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import ROWS, Rules
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup

# Reading.


def _infer_index(x: TensorType, *indices: TensorType, wrap: bool, dim: int = 0) -> tuple[TensorType, ...]:
    return (TensorType(_picked_shape("index", x, indices, dim), x.dtype),)


def _picked_shape(name: str, x: TensorType, indices: Sequence[TensorType], dim: int) -> tuple[int, ...]:
    """Return the shape of the elements at index tensors for the dimensions from ``dim`` on."""
    for index in indices:
        arguments.integral(name, "index", index.dtype)
    if not indices or dim < 0 or dim + len(indices) > len(x.shape):
        expected = f"1 to {len(x.shape)}, the input's dimensions"
        raise ShapeError(mistake(name, "index", f"{len(indices)} tensors from dimension {dim} on", expected))
    shape = broadcast_shapes(name, *(index.shape for index in indices))
    for d, size in enumerate(x.shape[dim : dim + len(indices)], dim):
        _check_not_empty(name, d, size, shape)
    return (*x.shape[:dim], *shape, *x.shape[dim + len(indices) :])


def _check_not_empty(name: str, dim: int, size: int, shape: tuple[int, ...]) -> None:
    """Raise ``IndexOutOfRangeError`` for indices into an empty dimension, which no kernel checks."""
    if size == 0 and 0 not in shape:
        given = f"{math.prod(shape)} elements"
        raise IndexOutOfRangeError(mistake(name, "index", given, f"none, as dimension {dim} has size 0"))


def _places(x: Any, indices: Sequence[Any], dim: int) -> tuple[Any, ...]:
    return (*(slice(None) for _ in range(dim)), *(index.astype("int64") for index in indices))


def _lower_index(request: KernelRequest) -> KernelProgram:
    """Return a kernel over the result: the dimensions before the indexed ones, those of the indices, those behind."""
    x, *indices = request.operands
    target, dim = request.outputs[0], request.attributes.get("dim", 0)
    first = dim + len(indices)
    points = index_points(x.shape[dim:first], indices, request.attributes["wrap"])
    behind = dim + len(points.shape)
    builder = Builder("index")
    before, (own_before, out_before) = coalesce(x.shape[:dim], [x.strides[:dim], target.strides[:dim]])
    rows = builder.axes(before, "b") if dim else []
    axes = builder.axes(points.shape or (1,))
    rest, (own, out) = coalesce(x.shape[first:], [x.strides[first:], target.strides[behind:]])
    columns = builder.axes(rest, "c")
    places = points.coordinates(builder, axes, True)
    value = builder.load(
        x, [*rows, *places, *columns], [*own_before[: len(rows)], *x.strides[dim:first], *own]
    )
    strides = [*out_before[: len(rows)], *(target.strides[dim:behind] or (0,)), *out]
    builder.store(target, [*rows, *axes, *columns], value, strides)
    return KernelProgram((builder.finish(),))


def _gradient_index(context: Gradient, grad: Any) -> list[Any]:
    count = len(context.types) - 1
    zeros = zeros_of(TensorType(context.types[0].shape, grad.dtype), device=str(grad.device))
    indices = [context.input(1 + d) for d in range(count)]
    return [bind(INDEX_PUT, zeros, grad, *indices, mode="sum", **context.attributes), *[None] * count]


def _saves_indices(first: int) -> Callable[[tuple[bool, ...]], tuple[int, ...]]:
    return lambda needs: tuple(range(first, len(needs)))


INDEX_OP = declare(
    "index", rules=Rules("index", "index", "linear"),
    infer=_infer_index, lower=_lower_index,
    reference=lambda x, *indices, wrap, dim=0: x[_places(x, indices, dim)],
    gradient=_gradient_index, saves=_saves_indices(1), reports="index",
    attributes=({"wrap": bool, "dim": int}, {"wrap": bool}),
    doc="The elements at index tensors, broadcast together, for the dimensions from dim on.",
)  # fmt: skip


# Writing.


def _check_put(name: str, x: TensorType, values: TensorType, shape: tuple[int, ...], mode: str) -> None:
    if mode not in MODES:
        raise UnsupportedError(mistake(name, "mode", mode, f"one of {', '.join(MODES)}"))
    if values.shape != shape:
        raise ShapeError(mistake(name, "values' shape", values.shape, shape))
    if values.dtype is not x.dtype:
        raise DTypeError(
            mistake(
                name, "values' dtype", values.dtype.name, f"{x.dtype.name}, as the input's", "use .to(dtype)"
            )
        )


def reference_put(x: Any, values: Any, places: tuple[Any, ...], mode: str) -> Any:
    """Return the result of a write in NumPy, index after index."""
    import numpy

    narrow = dtypes.from_numpy(x.dtype)
    result = x.astype(narrow.compute.numpy) if narrow.kind == "float" and mode != "replace" else x.copy()
    if mode == "replace":
        flat = numpy.arange(result.size).reshape(result.shape)[places].reshape(-1)
        given = values.reshape(-1)
        for place, value in zip(flat, given, strict=True):
            result.reshape(-1)[place] = value
        return result
    ufunc = {"sum": numpy.add, "prod": numpy.multiply, "amax": numpy.maximum, "amin": numpy.minimum}[mode]
    ufunc.at(result, places, values.astype(result.dtype))
    return result.astype(x.dtype)


def _infer_index_put(
    x: TensorType, values: TensorType, *indices: TensorType, mode: str, wrap: bool, dim: int = 0
) -> tuple[TensorType, ...]:
    _check_put("index_put", x, values, _picked_shape("index_put", x, indices, dim), mode)
    return (x,)


def _gradient_put(
    context: Gradient, grad: Any, read: Callable[[Any], Any], write: Callable[[Any, Any], Any]
) -> list[Any]:
    """Return the gradients of x and of the values, for ``replace`` and ``sum``."""
    mode, own, given = context.attributes["mode"], None, None
    if mode not in ("replace", "sum"):
        raise GradError(f"the gradient of {mode} at indices is that of scatter_reduce; call scatter_reduce")
    if context.needs[0]:
        zeros = zeros_of(TensorType(context.types[1].shape, grad.dtype), device=str(grad.device))
        own = grad if mode == "sum" else write(grad, zeros)
    if context.needs[1]:
        given = read(grad)
    return [own, given]


def _gradient_index_put(context: Gradient, grad: Any) -> list[Any]:
    indices = [context.input(at) for at in range(2, len(context.types))]
    where = {name: value for name, value in context.attributes.items() if name != "mode"}

    def read(value: Any) -> Any:
        return bind(INDEX_OP, value, *indices, **where)

    def write(value: Any, zeros: Any) -> Any:
        return bind(INDEX_PUT, value, zeros, *indices, mode="replace", **where)

    return [*_gradient_put(context, grad, read, write), *[None] * len(indices)]


def _lower_index_put(request: KernelRequest) -> KernelProgram:
    """Return the steps of a write, for which the operands are viewed with the indexed dimensions in front."""
    x, values, *indices = request.operands
    dim = request.attributes.get("dim", 0)
    lead = x.shape[dim : dim + len(indices)]
    points = index_points(lead, indices, request.attributes["wrap"])
    points = replace(points, rest=(*x.shape[:dim], *x.shape[dim + len(indices) :]))
    seen = with_leading(x, dim, len(indices))
    target = seen if request.outputs[0] is x else with_leading(request.outputs[0], dim, len(indices))
    moved = with_leading(values, dim, len(points.shape))
    return lower_put(
        "index_put", (seen, moved, *indices), target, points, request.attributes["mode"], request.profile
    )


INDEX_PUT = declare(
    "index_put", rules=Rules("index_put", "index_put"),
    infer=_infer_index_put,
    reference=lambda x, values, *indices, mode, wrap, dim=0: reference_put(x, values, _places(x, indices, dim), mode),
    lower=_lower_index_put,
    gradient=_gradient_index_put, saves=_saves_indices(2), overwrites=(0,), reports="index",
    attributes=({"mode": str, "wrap": bool, "dim": int}, {"mode": str, "wrap": bool}),
    doc="The input with values written or folded at index tensors for the dimensions from dim on.",
)  # fmt: skip


def _infer_scatter(
    x: TensorType, values: TensorType, index: TensorType, *, dim: int, mode: str
) -> tuple[TensorType, ...]:
    check_index("scatter", x, index, dim)
    _check_put("scatter", x, values, index.shape, mode)
    return (x,)


def check_index(name: str, x: TensorType, index: TensorType, dim: int) -> None:
    """Raise unless the index of ``gather`` or ``scatter`` is integer, of x's rank and not larger except in ``dim``."""
    arguments.integral(name, "index", index.dtype)
    if len(index.shape) != len(x.shape):
        raise ShapeError(
            mistake(name, "index", f"{len(index.shape)}-dimensional", f"{len(x.shape)}-dimensional")
        )
    for d, (size, bound) in enumerate(zip(index.shape, x.shape, strict=True)):
        if size > bound and d != dim:
            raise ShapeError(mistake(name, f"index's size at dimension {d}", size, f"at most {bound}"))
    if x.shape:
        _check_not_empty(name, dim, x.shape[dim], index.shape)


def _scatter_places(index: Any, dim: int) -> tuple[Any, ...]:
    import numpy

    places = list(numpy.indices(index.shape))
    if places:
        places[dim] = index.astype("int64")
    return tuple(places)


def _gradient_scatter(context: Gradient, grad: Any) -> list[Any]:
    index, dim = context.input(2), context.attributes["dim"]
    pair = _gradient_put(
        context, grad, lambda g: bind(lookup("gather"), g, index, dim=dim),
        lambda g, z: bind(SCATTER, g, z, index, dim=dim, mode="replace"),
    )  # fmt: skip
    return [*pair, None]


def _lower_scatter(request: KernelRequest) -> KernelProgram:
    points = scatter_points(request.operands[0], request.operands[2], request.attributes["dim"])
    return lower_put(
        "scatter", request.operands, request.outputs[0], points, request.attributes["mode"], request.profile
    )


SCATTER = declare(
    "scatter", rules=ROWS.but(splitting="scatter"),
    infer=_infer_scatter,
    reference=lambda x, values, index, *, dim, mode: reference_put(x, values, _scatter_places(index, dim), mode),
    lower=_lower_scatter,
    gradient=_gradient_scatter, saves=(2,), overwrites=(0,), reports="index",
    doc="The input with values written or folded into the places that an index tensor names along a dimension.",
)  # fmt: skip


def _gradient_fold(context: Gradient, grad: Any) -> list[Any]:
    """Return the gradients, as PyTorch: an extreme shares it among equals; a product multiplies the other factors."""
    x, values, index = (context.input(at) for at in range(3))
    dim, mode = context.attributes["dim"], context.attributes["mode"]
    own, given = (_gradient_product if mode == "prod" else _gradient_extreme)(
        context, grad, x, values, index, dim
    )
    return [own, given, None]


def _at(x: Any, index: Any, dim: int) -> Any:
    return bind(lookup("gather"), x, index, dim=dim)


def _gradient_extreme(
    context: Gradient, grad: Any, x: Any, values: Any, index: Any, dim: int
) -> tuple[Any, Any]:
    result, equal, times = context.output(), lookup("eq"), lookup("mul")
    mine = to_dtype(bind(equal, x, result), grad.dtype)
    theirs = to_dtype(bind(equal, values, _at(result, index, dim)), grad.dtype)
    count = bind(SCATTER, mine, theirs, index, dim=dim, mode="sum")
    # a place whose extreme comes from neither x nor a value (NaN) has a count of 0, and no gradient
    share = bind(lookup("div"), grad, bind(lookup("maximum"), count, 1))
    return bind(times, share, mine), bind(times, _at(share, index, dim), theirs)


def _gradient_product(
    context: Gradient, grad: Any, x: Any, values: Any, index: Any, dim: int
) -> tuple[Any, Any]:
    times, over, choose, equal = (lookup(name) for name in ("mul", "div", "where", "eq"))
    own = given = None
    if context.needs[0]:
        factor = bind(choose, bind(equal, x, 0), 1.0, x)
        others = bind(over, bind(SCATTER_FOLD, factor, values, index, dim=dim, mode="prod"), factor)
        own = bind(times, grad, others)
    if context.needs[1]:
        zero = bind(equal, values, 0)
        none = zeros_of(TensorType(context.types[0].shape, grad.dtype), device=str(grad.device))
        zeros = bind(SCATTER, none, to_dtype(zero, grad.dtype), index, dim=dim, mode="sum")
        single = bind(lookup("bitwise_and"), zero, bind(equal, _at(zeros, index, dim), 1))
        without = bind(SCATTER_FOLD, x, bind(choose, single, 1.0, values), index, dim=dim, mode="prod")
        quotient = bind(
            over, _at(bind(times, grad, context.output()), index, dim), bind(choose, zero, 1.0, values)
        )
        given = bind(choose, single, _at(bind(times, grad, without), index, dim), quotient)
    return own, given


SCATTER_FOLD = declare(
    "scatter_fold", rules=ROWS.but(splitting="scatter"),
    infer=_infer_scatter, reference=SCATTER.reference, lower=SCATTER.lower, gradient=_gradient_fold,
    saves=(0, 1, 2), saves_output=True, overwrites=(0,), reports="index",
    doc="The input with products, maxima or minima of values at the places that indices name along a dimension.",
)  # fmt: skip
