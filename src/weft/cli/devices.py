"""``weft devices``: list the devices, explain the default, and say why a GPU is not found."""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import dataclass

from weft import devices
from weft.devices.explain import Facts, explanations, gather
from weft.devices.webgpu.adapters import AdapterInfo
from weft.errors import DeviceError

WIDTH = 110
SOFTWARE = (
    "webgpu:software computes on the processor: right but slow, for tests. It is used only when asked for: "
    "weft.devices.open('webgpu:software'), or WEFT_DEVICE=webgpu:software."
)


@dataclass(frozen=True)
class Row:
    """A row of the table: name, description, driver, limits."""

    name: str
    device: str
    driver: str
    limits: str


def run(arguments: argparse.Namespace) -> int:
    """Print the report of this machine."""
    facts = gather()
    try:
        default, reason = devices.default_name()
    except DeviceError as error:
        default, reason = "", str(error)
    print(report(facts, default, reason))
    return 0


def report(facts: Facts, default: str, reason: str) -> str:
    """Return the whole report as text."""
    table = rows(facts)
    if default == "webgpu" and len(table) > 1:
        default = table[1].name  # a name without a number means the first device of that kind
    lines = _table(table, default)
    lines.append("")
    lines.append(f"The default is {default}: {reason}." if default else f"There is no default: {reason}")
    if default and not any(row.name == default for row in table):
        lines.append(f"But {default} is not there.")
    if facts.adapters and not facts.real:
        lines += _wrapped(SOFTWARE)
    for message in explanations(facts):
        lines.append("")
        lines += _wrapped(message)
    lines += [f"  {path}: permission denied" for path in facts.blocked if not facts.real]
    return "\n".join(lines)


def rows(facts: Facts) -> list[Row]:
    """Return the rows of the table: ``cpu``, then every adapter."""
    cores = f"{facts.cores} core{'s' if facts.cores != 1 else ''}"
    table = [Row("cpu", f"{facts.processor} ({cores})", "LLVM", "float64 and int64 native")]
    for adapter in facts.adapters:
        driver = f"{adapter.backend}, {adapter.driver}" if adapter.driver else adapter.backend
        table.append(Row(adapter.name, adapter.device, driver, limits(adapter)))
    return table


def limits(adapter: AdapterInfo) -> str:
    """Return the limits and features that determine which tensors fit and which kernels are fast.

    >>> info = AdapterInfo("webgpu", "DiscreteGPU", "Vulkan", "GPU", "", (("max-buffer-size", 2**31),), frozenset())
    >>> limits(info)
    'buffers to 2.0 GiB; no f16 arithmetic, no subgroups, no immediates'
    """
    numbers = dict(adapter.limits)
    parts = [
        f"{label} {_size(numbers[name]) if sized else numbers[name]}"
        for name, label, sized in (
            ("max-buffer-size", "buffers to", True),
            ("max-storage-buffer-binding-size", "bindings to", True),
            ("max-storage-buffers-per-shader-stage", "bindings a kernel:", False),
        )
        if name in numbers
    ]
    features = [
        label if name in adapter.features else f"no {label}"
        for name, label in (
            ("shader-f16", "f16 arithmetic"),
            ("subgroup", "subgroups"),
            ("immediates", "immediates"),
        )
    ]
    return "; ".join((", ".join(parts), ", ".join(features)))


def _size(count: int) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count = count / 1024  # type: ignore[assignment]
    raise AssertionError("unreachable")


def _table(table: list[Row], default: str) -> list[str]:
    width = max(len(row.name) for row in table)
    lines = []
    for row in table:
        mark = "*" if row.name == default else " "
        lines.append(f"{mark} {row.name:<{width}}  {row.device}")
        lines.append(f"  {'':<{width}}  {row.driver}")
        lines.append(f"  {'':<{width}}  {row.limits}")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
