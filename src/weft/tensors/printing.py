"""The text of a tensor, as PyTorch prints it (``torch/_tensor_str.py`` defines the rules), apart from devices.

The elements are read once, as a NumPy array. Of a tensor above the threshold, only the first and last elements are
formatted, and only those are read from a device other than ``cpu``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy

from weft import dtypes
from weft.devices.base import HostDevice
from weft.errors import ArgumentError, GradError, mistake
from weft.ops import OPS
from weft.ops.registry.lazy_fronts import lazily_checked
from weft.tensors import host
from weft.tensors.eager import EAGER

READ_AT_MOST = 1 << 20
"""The most elements that are read whole; of a larger summarised tensor, the device copies the edges first."""


@dataclass(frozen=True)
class PrintOptions:
    """The options of ``set_printoptions``; with ``sci_mode`` ``None`` the values decide."""

    precision: int = 4
    threshold: int = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=1 << 62),
}
_options = PROFILES["default"]


def get_printoptions() -> PrintOptions:
    """Return the options in force."""
    return _options


@lazily_checked
def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print, as ``torch.set_printoptions``; options not given are kept, except ``sci_mode``.

    ``profile``: ``"default"``, ``"short"`` or ``"full"``, to which the other arguments are applied.
    """
    global _options
    if profile is not None and profile not in PROFILES:
        raise ArgumentError(
            mistake("set_printoptions", "profile", repr(profile), f"one of {', '.join(PROFILES)}")
        )
    base = _options if profile is None else PROFILES[profile]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in given.items():
        if value is not None and value < (1 if name in ("linewidth", "edgeitems") else 0):
            raise ArgumentError(mistake("set_printoptions", name, value, "a positive number"))
    _options = replace(base, sci_mode=sci_mode, **{n: v for n, v in given.items() if v is not None})


def text(tensor: Any) -> str:
    """Return the text of a tensor: its values, and device, dtype, size and history where they are not the default."""
    options = _options
    printed = getattr(tensor._data, "printed", None)
    if printed is not None:  # within a transformed function
        described: str = printed()
        return described
    array = tensor._array("print")
    count = math.prod(array.shape)
    summarise = count > options.threshold
    values, cut = _values(array, count, options.edgeitems if summarise else None)
    prefix = "tensor("
    shown = (
        _nested(values, cut, len(prefix), _formatter(values, array.dtype, options), options)
        if count
        else "[]"
    )
    return _with_suffixes(prefix + shown, _suffixes(tensor, array, count), len(prefix), options.linewidth)


def _suffixes(tensor: Any, array: Any, count: int) -> list[str]:
    """Return the words after the values: device, size, dtype, history."""
    suffixes = []
    if tensor.device != "cpu":
        suffixes.append(f"device='{tensor.device}'")
    if count == 0:
        if len(array.shape) != 1:
            suffixes.append(f"size={tuple(array.shape)}")
        if array.dtype is not dtypes.float32:
            suffixes.append(f"dtype={array.dtype}")
    elif array.dtype not in (dtypes.float32, dtypes.int64, dtypes.bool_):
        suffixes.append(f"dtype={array.dtype}")
    try:
        history = tensor.grad_fn
    except GradError:  # a view that was made and written under no_grad: printing must not fail
        return [*suffixes, "grad_fn=<Invalid>"]
    if history is not None:
        suffixes.append(f"grad_fn={history!r}")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    return suffixes


def _with_suffixes(shown: str, suffixes: list[str], indent: int, width: int) -> str:
    """Return the text with the suffixes after the values, on a new line where the last line is full."""
    length = len(shown) - shown.rfind("\n") + 1
    for suffix in suffixes:
        if length + len(suffix) + 2 > width:
            shown += ",\n" + " " * indent + suffix
            length = indent + len(suffix)
        else:
            shown += ", " + suffix
            length += len(suffix) + 2
    return shown + ")"


def _values(array: Any, count: int, edge: int | None) -> tuple[Any, tuple[bool, ...]]:
    """Return the elements to format, and which dimensions lack their middle; all elements without ``edge``."""
    cut = tuple(edge is not None and size > 2 * edge for size in array.shape)
    if edge is None or count == 0:
        return host.to_numpy(array, EAGER), cut
    if count > READ_AT_MOST and not isinstance(array.device, HostDevice):
        array = _edges_on_device(array, edge)
    values = host.to_numpy(array, EAGER)
    for dim, size in enumerate(values.shape):
        if size > 2 * edge:
            values = numpy.take(values, [*range(edge), *range(size - edge, size)], dim)
    return values, cut


def _edges_on_device(array: Any, edge: int) -> Any:
    """Return the first and last elements along each long dimension, the longest dimension first: each copy is small."""
    for dim in sorted(range(len(array.shape)), key=lambda d: -array.shape[d]):
        size = array.shape[dim]
        if size > 2 * edge:
            parts: list[Any] = []
            for start in (0, size - edge):
                attributes = {"dim": dim, "start": start, "stop": start + edge, "step": 1}
                parts += EAGER.process(OPS["slice"], (array,), attributes, None, ())
            (array,) = EAGER.process(OPS["cat"], tuple(parts), {"dim": dim}, None, ())
    return array


@dataclass(frozen=True)
class _Formatter:
    """A formatter of elements, padded to one width."""

    width: int
    write: Callable[[Any], str]

    def __call__(self, value: Any) -> str:
        return self.write(value).rjust(self.width)


def _formatter(values: Any, dtype: Any, options: PrintOptions) -> _Formatter:
    if dtype.kind != "float":
        return _Formatter(max((len(str(value)) for value in values.reshape(-1).tolist()), default=1), str)
    wide = values.astype("float64").reshape(-1)
    plain = wide[numpy.isfinite(wide) & (wide != 0)]
    if plain.size == 0:
        return _Formatter(1, _whole)
    sizes = numpy.abs(plain)
    low, high = sizes.min(), sizes.max()
    whole = bool((plain == numpy.ceil(plain)).all())
    with numpy.errstate(over="ignore"):
        scientific = bool(high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4)
    if options.sci_mode is not None:
        scientific = options.sci_mode
    if scientific:
        write: Callable[[Any], str] = f"{{:.{options.precision}e}}".format
    else:
        write = _whole if whole else f"{{:.{options.precision}f}}".format
    return _Formatter(max(1, *(len(write(value)) for value in plain.tolist())), write)


def _whole(value: float) -> str:
    """Return a float without decimals; the point distinguishes it from an integer."""
    return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"


def _nested(values: Any, cut: tuple[bool, ...], indent: int, write: _Formatter, options: PrintOptions) -> str:
    """Return the values in nested brackets; the last dimension is wrapped at the line's width."""
    if values.ndim == 0:
        return write(values.item())
    edge = options.edgeitems
    if values.ndim == 1:
        row = [write(value) for value in values.tolist()]
        if cut[0]:
            row.insert(edge, " ...")
        count = max(1, (options.linewidth - indent) // (write.width + 2))
        lines = [", ".join(row[start : start + count]) for start in range(0, len(row), count)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts: list[str] = [_nested(part, cut[1:], indent + 1, write, options) for part in values]
    if cut[0]:
        parts.insert(edge, "...")
    separator: str = "," + "\n" * (values.ndim - 1) + " " * (indent + 1)
    return "[" + separator.join(parts) + "]"
