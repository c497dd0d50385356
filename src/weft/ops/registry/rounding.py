"""``rounded_once``: composites of 16-bit operands compute in float32 and round their result once.

A composite binds several ops, and each op rounds its output to the output's type. In float16 the square of 300 is
infinite and that of 1e-4 is 0, so a norm that consists of ops must not round to float16 between them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from weft import dtypes
from weft.dtypes import DType
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup

F = TypeVar("F", bound=Callable[..., Any])

NARROW = frozenset((dtypes.float16, dtypes.bfloat16))
"""The types whose composites compute in float32."""


def rounded_once(function: F) -> F:
    """Return the function with 16-bit operands converted to float32 and float32 results rounded to 16 bits.

    The results have the type that PyTorch's promotion gives the operands, or the type that a keyword ``dtype`` names.
    Where that is no 16-bit type, results are not rounded.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            dtype = getattr(value, "dtype", value)
            if dtype is dtypes.float16 or dtype is dtypes.bfloat16:
                return _widened(function, args, kwargs)
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def _widened(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    asked = kwargs.get("dtype")
    target = _promoted((*args, *kwargs.values())) if asked is None else asked
    if asked is not None and target in NARROW:
        kwargs = {**kwargs, "dtype": dtypes.float32}
    wide = {name: _converted(value, NARROW, dtypes.float32) for name, value in kwargs.items()}
    results = function(*(_converted(value, NARROW, dtypes.float32) for value in args), **wide)
    if target not in NARROW:
        return results
    if not isinstance(results, tuple):
        return _converted(results, _WIDE, target)
    rounded = [_converted(value, _WIDE, target) for value in results]
    return type(results)(*rounded) if hasattr(results, "_fields") else tuple(rounded)


_WIDE = frozenset((dtypes.float32,))


def _promoted(values: tuple[Any, ...]) -> DType | None:
    """Return the promoted type of the floating point tensors among the values, or ``None`` where there is none."""
    full: list[DType] = []
    single: list[DType] = []
    for value in values:
        dtype = getattr(value, "dtype", None)
        if isinstance(dtype, DType) and dtype.kind == "float":
            (full if len(value.shape) else single).append(dtype)
    return dtypes.result_type(full, single, []) if full or single else None


def _converted(value: Any, sources: frozenset[DType], target: DType) -> Any:
    """Return a tensor of one of the source types converted to ``target``, and any other value as it is."""
    dtype = getattr(value, "dtype", None)
    return (
        bind(lookup("cast"), value, dtype=target) if isinstance(dtype, DType) and dtype in sources else value
    )
