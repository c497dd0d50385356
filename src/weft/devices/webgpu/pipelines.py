"""From ``KernelSpec`` to native pipelines: layouts, compiled shaders, and how parameters become bytes.

Layouts are explicit and shared by all kernels with the same accesses, so that a bind group made for one kernel
serves the others.
"""

from __future__ import annotations

import math
import os
import struct
import textwrap
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from weft import dtypes
from weft.devices.counts import Counts, compile_counts
from weft.devices.recent import KERNELS, Recent
from weft.devices.webgpu import loss
from weft.devices.webgpu.native import native
from weft.errors import ArgumentError, ArgumentTypeError, KernelError
from weft.target import KernelSpec, ParameterSpace, TargetProfile, parameter_space

_CODES = {dtypes.int64: "i", dtypes.int32: "i", dtypes.uint32: "I", dtypes.float32: "f"}
_RANGES = {"i": (-(2**31), 2**31 - 1), "I": (0, 2**32 - 1)}
_COMPUTE_STAGE = 4
_FLOAT32_OVERFLOW = (2.0 - 2.0**-24) * 2.0**127  # the least value that rounds to infinity


@dataclass(frozen=True, eq=False)
class BindingLayout:
    """The bindings of group 0: whether each is written, and whether the status word follows them."""

    written: tuple[bool, ...]
    reports: bool
    handle: Any
    group: Any


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Pipeline:
    """A compiled kernel: native handle, bindings, counts, parameter packing, and uniform bytes (0: immediates)."""

    name: str
    handle: Any
    layout: BindingLayout
    counts: Counts
    pack: Callable[..., bytes]
    uniform_size: int
    keep: Any


class Pipelines:
    """The compiled kernels of a device, by spec; recorded work keeps its kernels alive."""

    def __init__(self, device: Any, profile: TargetProfile) -> None:
        self._device = device
        self._profile = profile
        self._by_identity: Recent[int, tuple[KernelSpec, Pipeline]] = Recent(KERNELS)
        self._by_value: Recent[KernelSpec, Pipeline] = Recent(KERNELS, alive=True)
        self._layouts: dict[tuple[tuple[bool, ...], bool], BindingLayout] = {}
        self._pipeline_layouts: dict[tuple[BindingLayout, str, int], Any] = {}
        self._uniform_layout: Any = None

    def get(self, spec: KernelSpec) -> Pipeline:
        """Return the compiled kernel. The lookup is by identity first: hashing a spec costs more than a dispatch."""
        found = self._by_identity.young.get(id(spec)) or self._by_identity.get(id(spec))
        if found is not None:
            return found[1]
        pipeline = self._by_value.get(spec)
        if pipeline is None:
            pipeline = self._compile(spec)
            self._by_value.put(spec, pipeline)
        self._by_identity.put(id(spec), (spec, pipeline))  # the spec is kept, so that its id is not reused
        return pipeline

    def uniform_layout(self) -> Any:
        """Return the layout of group 1: parameters at a dynamic offset."""
        if self._uniform_layout is None:
            self._uniform_layout = self._device.create_bind_group_layout(
                entries=[{
                    "binding": 0,
                    "visibility": _COMPUTE_STAGE,
                    "buffer": {"type": "uniform", "has_dynamic_offset": True},
                }]
            )  # fmt: skip
        return self._uniform_layout

    def get_all(self, specs: Iterable[KernelSpec]) -> None:
        """Compile kernels in parallel; drivers compile without the interpreter lock."""
        missing = [spec for spec in dict.fromkeys(specs) if self._by_value.get(spec) is None]
        prepared = [self._prepare(spec) for spec in missing]
        if len(missing) > 1:
            with ThreadPoolExecutor(min(len(missing), os.cpu_count() or 1), "weft-compile") as threads:
                made = list(threads.map(self._finish, missing, prepared))
        else:
            made = [self._finish(spec, layouts) for spec, layouts in zip(missing, prepared, strict=True)]
        for spec, pipeline in zip(missing, made, strict=True):
            self._by_value.put(spec, pipeline)

    def _compile(self, spec: KernelSpec) -> Pipeline:
        return self._finish(spec, self._prepare(spec))

    def _prepare(self, spec: KernelSpec) -> tuple[BindingLayout, Any]:
        """Return the layouts of a kernel, which it shares with other kernels."""
        if spec.language != "wgsl":
            raise KernelError(
                f"kernel {spec.name} is written in {spec.language}, expected wgsl for a webgpu device"
            )
        size, space = self._parameters(spec)
        try:
            layout = self._layout(spec)
            return layout, self._pipeline_layout(layout, space, size)
        except native().wgpu.GPUError as error:
            raise self._rejected(spec, error) from None

    def _finish(self, spec: KernelSpec, layouts: tuple[BindingLayout, Any]) -> Pipeline:
        """Compile a kernel; thread-safe."""
        layout, pipeline_layout = layouts
        size, space = self._parameters(spec)
        counts = compile_counts(spec)
        pack = packer(spec, size)
        try:
            module = self._device.create_shader_module(label=spec.name, code=spec.source)
            handle = self._device.create_compute_pipeline(
                label=spec.name, layout=pipeline_layout, compute={"module": module, "entry_point": None}
            )
        except native().wgpu.GPUError as error:
            raise self._rejected(spec, error) from None
        uniform_size = size if space == "uniform" else 0
        return Pipeline(spec.name, handle._internal, layout, counts, pack, uniform_size, handle)

    def _parameters(self, spec: KernelSpec) -> tuple[int, ParameterSpace]:
        """Return the bytes of a kernel's parameters, and how they are passed."""
        count = len(spec.parameters) + spec.reports
        return (4 * count + 15) // 16 * 16, parameter_space(count, self._profile)

    def _rejected(self, spec: KernelSpec, error: Exception) -> KernelError:
        loss.check(self._device._internal, error)
        return KernelError(f"kernel {spec.name} does not compile:\n{_without_headings(str(error))}")

    def _layout(self, spec: KernelSpec) -> BindingLayout:
        written = tuple(binding.access == "read_write" for binding in spec.inputs + spec.outputs)
        key = (written, spec.reports)
        if key not in self._layouts:
            accesses = (*written, True) if spec.reports else written
            group = self._device.create_bind_group_layout(
                entries=[
                    {
                        "binding": index,
                        "visibility": _COMPUTE_STAGE,
                        "buffer": {"type": "storage" if access else "read-only-storage"},
                    }
                    for index, access in enumerate(accesses)
                ]
            )
            self._layouts[key] = BindingLayout(written, spec.reports, group._internal, group)
        return self._layouts[key]

    def _pipeline_layout(self, layout: BindingLayout, space: str, size: int) -> Any:
        key = (layout, space, size if space == "immediates" else bool(size))
        if key not in self._pipeline_layouts:
            groups = [layout.group]
            if space == "uniform" and size:
                groups.append(self.uniform_layout())
            self._pipeline_layouts[key] = self._device.create_pipeline_layout(
                bind_group_layouts=groups, immediate_size=size if space == "immediates" else 0
            )
        return self._pipeline_layouts[key]


def packer(spec: KernelSpec, size: int) -> Callable[..., bytes]:
    """Return a function that packs parameter values (and the report's number): 4 bytes each, zero-padded to ``size``.

    The function raises ``ArgumentError`` naming the parameter for an integer that does not fit 32 bits.
    """
    codes = []
    for parameter in spec.parameters:
        if parameter.dtype not in _CODES:
            raise KernelError(
                f"kernel {spec.name}: parameter {parameter.name} is {parameter.dtype.name}, "
                f"expected one of {', '.join(dtype.name for dtype in _CODES)} on a webgpu device"
            )
        codes.append(_CODES[parameter.dtype])
    names = [parameter.name for parameter in spec.parameters]
    if spec.reports:
        codes.append("I")
        names.append("report")
    layout = struct.Struct("<" + "".join(codes) + f"{size - 4 * len(codes)}x")
    fast = layout.pack

    def pack(*values: int | float) -> bytes:
        try:
            return fast(*values)
        except (struct.error, OverflowError):
            return fast(*_fitted(spec.name, names, codes, values))

    return pack


def _fitted(
    kernel: str, names: Sequence[str], codes: Sequence[str], values: Sequence[Any]
) -> list[int | float]:
    """Return values that ``struct`` accepts: a float beyond float32 becomes infinite; other misfits raise errors."""
    if len(values) != len(codes):
        raise ArgumentTypeError(
            f"kernel {kernel}: {len(values)} parameters were given, expected {len(names)} ({', '.join(names)})"
        )
    fitted: list[int | float] = []
    for name, code, value in zip(names, codes, values, strict=True):
        if code == "f":
            number = float(value)
            fitted.append(number if not abs(number) >= _FLOAT32_OVERFLOW else math.copysign(math.inf, number))
            continue
        low, high = _RANGES[code]
        if not hasattr(value, "__index__"):
            raise ArgumentTypeError(f"kernel {kernel}: parameter {name} is {value!r}, expected an integer")
        if not low <= value <= high:
            raise ArgumentError(
                f"kernel {kernel}: parameter {name} is {value}, expected {low} to {high}: "
                f"webgpu has 32-bit integers; use a smaller tensor or the cpu device"
            )
        fitted.append(value)
    return fitted


def _without_headings(message: str) -> str:
    """Return the compiler's message, with the source line and a caret, without the library's headings."""
    lines = (message.partition("Caused by:\n")[2] or message).splitlines()
    if lines and lines[0].lstrip().startswith("In wgpu"):
        lines = lines[1:]
    return textwrap.dedent("\n".join(lines)).strip()
