"""``autocast``: each operation runs in half or in single precision, by its numerical needs.

A region pushes a *mode* on the stack of interpreters: the mode looks up each op's precision, converts the operands, and
passes the op to the interpreter below, so that conversions are recorded and traced as other operations are.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from weft import devices, dtypes
from weft.autograd.mode import is_enabled
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, mistake
from weft.ops import OPS, Interpreter, OpSpec, interpreter_stack
from weft.ops.registry.interpreters import set_context_stack, top_mode, without_modes
from weft.tensors.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])

DEFAULTS = {"cpu": dtypes.bfloat16, "webgpu": dtypes.float16}
"""The kinds of devices, and the default type of a region on each."""
ABSENT = {"cuda": "CUDA", "mps": "Metal", "xpu": "an Intel GPU", "hpu": "Gaudi", "mtia": "MTIA"}
"""PyTorch's other kinds of devices, and their names in prose."""
LOWER = (dtypes.float16, dtypes.bfloat16)

Cached = dict[tuple[int, DType, bool], tuple[Tensor, int, Tensor]]
"""Conversions of parameters by identity, type and grad mode: the parameter, its version, and the converted tensor."""


class Casting:
    """The mode of autocast: the lower-precision type for each kind of device."""

    executes = True
    mode = True

    def __init__(self, lower: Mapping[str, DType], cached: Cached | None) -> None:
        self.lower = dict(lower)
        self.cached = cached

    def afresh(self) -> Casting:
        """See ``Mode``."""
        return Casting(self.lower, None if self.cached is None else {})

    def key(self) -> Any:
        """See ``Mode``."""
        return tuple(sorted((kind, dtype.name) for kind, dtype in self.lower.items()))

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Convert the operands of an op that has a precision, unless it writes in place, and pass it down."""
        precision = op.rules.precision
        if precision and into is None:
            dtype = self._target(precision, operands)
            if dtype is not None:
                operands = tuple([self._cast(operand, dtype, below) for operand in operands])
        return below[-1].process(op, operands, attributes, into, below[:-1])

    def call(
        self, precision: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """See ``Mode``: the arguments are converted, and the operations of the function are not."""
        dtype = self._target(precision, (*args, *kwargs.values()))
        if dtype is None:
            return function(*args, **kwargs)
        with without_modes():
            below = interpreter_stack()
            args = tuple([self._cast(argument, dtype, below) for argument in args])
            kwargs = {name: self._cast(argument, dtype, below) for name, argument in kwargs.items()}
            return function(*args, **kwargs)

    def _target(self, precision: str, values: tuple[Any, ...]) -> DType | None:
        """Return the type to convert values to; ``None`` where they are not converted."""
        given = [value for value in values if _is_eligible(value)]
        lower = self.lower.get(_kind(given[0])) if given else None
        if lower is None:
            return None
        if precision == "lower":
            return lower
        if precision == "float32":
            return dtypes.float32
        widest = functools.reduce(dtypes.promote, [value.dtype for value in given])
        return None if all(value.dtype is widest for value in given) else widest

    def _cast(self, value: Any, dtype: DType, below: tuple[Interpreter, ...]) -> Any:
        if not _is_eligible(value) or value.dtype is dtype:
            return value
        leaf = value._leaf_requires_grad and value._edge is None and value._view is None
        if self.cached is None or not leaf or dtype not in LOWER:
            return _converted(value, dtype, below)
        key = (id(value), dtype, is_enabled())
        entry = self.cached.get(key)
        if entry is None or entry[1] != value._data.version or entry[0]._data is not value._data:
            entry = self.cached[key] = (value, value._data.version, _converted(value, dtype, below))
        return entry[2]


def _converted(value: Tensor, dtype: DType, below: tuple[Interpreter, ...]) -> Any:
    return below[-1].process(OPS["cast"], (value,), {"dtype": dtype}, None, below[:-1])[0]


def _is_eligible(value: Any) -> bool:
    """Return whether autocast may convert a value: a floating point tensor, but not float64."""
    return isinstance(value, Tensor) and value.dtype.kind == "float" and value.dtype is not dtypes.float64


def _kind(value: Tensor) -> str:
    return str(value.device).partition(":")[0]


class autocast:
    """A context manager and decorator in which operations on a kind of device choose their precision.

    As ``torch.autocast``. Products, convolutions, linear layers, recurrent layers and attention run in ``dtype``
    (float16 or bfloat16; by default bfloat16 on ``cpu`` and float16 on ``webgpu``). Exponentials, logarithms, powers,
    sums, norms, softmax and losses run in float32. Operations that need several tensors of one type run in the widest
    of the types. All other operations run in their operands' type.

    Parameters are not changed: a region converts each of them once, unless ``cache_enabled`` is False. In-place
    operations and float64 are not converted. Gradients have the types of the forward pass: call ``backward`` outside of
    the region. ``enabled=False`` disables an outer region. Functions of ``weft.jit`` are compiled again for a region. A
    region on ``"cuda"`` or another device that weft does not have warns and has no effect, as PyTorch's without that
    device.

    >>> import weft as wf
    >>> layer = wf.nn.Linear(4, 2, device="cpu")
    >>> with wf.autocast("cpu", dtype=wf.float16):
    ...     y = layer(wf.ones(3, 4, device="cpu"))
    ...     print(y.dtype, y.softmax(1).dtype)
    weft.float16 weft.float32
    """

    def __init__(
        self,
        device_type: str,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if device_type in ABSENT:
            enabled = off_without("autocast", f"there is no device {device_type!r} in weft", enabled)
            self.device_type, default = device_type, dtypes.float16
        else:
            self.device_type = _checked_kind("autocast", device_type)
            default = DEFAULTS[self.device_type]
        self.dtype = default if dtype is None else dtype
        if self.dtype not in LOWER:
            given = getattr(dtype, "name", repr(dtype))
            raise DTypeError(mistake("autocast", "dtype", given, "float16 or bfloat16"))
        if not isinstance(enabled, bool):
            raise ArgumentTypeError(mistake("autocast", "enabled", repr(enabled), "a bool"))
        self.enabled = enabled
        self.cache_enabled = cache_enabled is not False
        self._before: list[Any] = []

    def __enter__(self) -> autocast:
        stack = interpreter_stack()
        outer = stack[-1] if isinstance(stack[-1], Casting) else None
        lower = {} if outer is None else dict(outer.lower)
        lower.pop(self.device_type, None)
        if self.enabled:
            lower[self.device_type] = self.dtype
        below = stack if outer is None else stack[:-1]
        cached = outer.cached if outer is not None and outer.cached is not None else {}
        modes = (Casting(lower, cached if self.cache_enabled else None),) if lower else ()
        self._before.append(set_context_stack((*below, *modes)))
        return self

    def __exit__(self, *_: object) -> None:
        set_context_stack(self._before.pop())

    def __call__(self, function: F) -> F:
        """Return the function with the region around each call."""

        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device_type, self.dtype, self.enabled, self.cache_enabled):
                return function(*args, **kwargs)

        return within  # type: ignore[return-value]


def off_without(name: str, reason: str, enabled: bool) -> bool:
    """Return False, and warn where ``enabled`` is True: the feature has no effect, for the given reason."""
    if enabled:
        advice = f"write {name}({get_default_kind()!r}) to have it on the default device"
        warnings.warn(f"{name}: {reason}, so it is off; {advice}", UserWarning, stacklevel=3)
    return False


def get_default_kind() -> str:
    """Return the kind of the default device."""
    return devices.default_name()[0].partition(":")[0]


def _checked_kind(where: str, device_type: Any) -> str:
    if device_type not in DEFAULTS:
        raise ArgumentError(
            mistake(where, "device_type", repr(device_type), " or ".join(map(repr, DEFAULTS)))
        )
    kind: str = device_type
    return kind


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Return whether an autocast region is active, on a kind of device or on any."""
    mode = top_mode()
    lower = mode.lower if isinstance(mode, Casting) else {}
    return bool(lower) if device_type is None else _checked_kind("is_autocast_enabled", device_type) in lower


def get_autocast_dtype(device_type: str) -> DType:
    """Return the type of the active region on a kind of device, or the default type of a region there."""
    kind = _checked_kind("get_autocast_dtype", device_type)
    mode = top_mode()
    return mode.lower.get(kind, DEFAULTS[kind]) if isinstance(mode, Casting) else DEFAULTS[kind]
