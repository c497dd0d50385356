"""``Kernels``: the compiled kernels of a ``cpu`` device, and how operands and parameters become arguments of a call."""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.devices.base import Range
from weft.devices.counts import Counts, compile_counts
from weft.devices.cpu import blas
from weft.devices.cpu.compiler import Code, compile_kernel
from weft.devices.recent import KERNELS, Recent
from weft.errors import KernelError
from weft.target import KernelSpec

ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64)
"""The C type of a kernel: ``entry(pointers, parameters, first item, end of items)``."""


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Compiled:
    """A kernel that can be called; ``code`` keeps the machine code alive."""

    code: Code
    entry: Any
    address: int
    """The address of the function."""
    slots: str
    """The ``struct`` format letter of each parameter."""
    pack_pointers: Any
    pack_parameters: Any
    counts: Counts
    """Returns the number of work items, and the total work of all items."""
    products: bool
    """Whether the kernel calls the BLAS."""

    def pack(
        self, spec: KernelSpec, ranges: Sequence[Range], parameters: Sequence[int | float]
    ) -> tuple[bytes, bytes, Any]:
        """Pack the arguments of a call.

        Returns:
            The pointers, the parameters, and the status words of a kernel that reports (else ``None``).

        Raises:
            KernelError: For ranges or parameters that do not fit the kernel.
        """
        addresses = [range_.buffer.handle.address + range_.offset for range_ in ranges]
        status = None
        if spec.reports:
            status = (ctypes.c_int64 * 2)()
            addresses.append(ctypes.addressof(status))
            parameters = (*parameters, 0)
        try:
            return self.pack_pointers(*addresses), self.pack_parameters(*parameters), status
        except struct.error as error:
            raise mismatch(spec, len(ranges), parameters, error) from None


class Kernels:
    """The compiled kernels of a device, by spec; kernels that are not in use are dropped beyond ``KERNELS``."""

    def __init__(self) -> None:
        self._by_spec: Recent[KernelSpec, Compiled] = Recent(KERNELS, alive=True)
        # By id, since hashing a spec takes longer than a small kernel. The spec is kept, so that its id is not reused.
        # Dispatches look in ``by_id.young`` directly.
        self.by_id: Recent[int, tuple[KernelSpec, Compiled]] = Recent(KERNELS)
        self._lock = threading.Lock()

    def get(self, spec: KernelSpec) -> Compiled:
        """Return the kernel, compiled at its first use."""
        found = self.by_id.young.get(id(spec)) or self.by_id.get(id(spec))
        if found is not None:
            return found[1]
        with self._lock:
            kernel = self._by_spec.get(spec)
            if kernel is None:
                kernel = _compile(spec)
                self._by_spec.put(spec, kernel)
            self.by_id.put(id(spec), (spec, kernel))
            return kernel

    def clear(self) -> None:
        """Drop all kernels."""
        self._by_spec.clear()
        self.by_id.clear()

    def __len__(self) -> int:
        return len(self._by_spec)


def mismatch(
    spec: KernelSpec, ranges: int, parameters: Sequence[int | float], error: Exception
) -> KernelError:
    """Return the error of a call whose ranges or parameters do not fit the kernel."""
    names = ", ".join(f"{parameter.name}: {parameter.dtype.name}" for parameter in spec.parameters)
    return KernelError(
        f"{spec.name}: {ranges} ranges and parameters {tuple(parameters)} given, expected "
        f"{len(spec.inputs) + len(spec.outputs)} ranges and ({names}): {error}"
    )


def _compile(spec: KernelSpec) -> Compiled:
    if spec.language != "llvm":
        raise KernelError(f"{spec.name}: language {spec.language!r} given, the cpu device takes 'llvm'")
    code = compile_kernel(spec.name, spec.source)
    if len(code.functions) != 1:
        raise KernelError(
            f"{spec.name}: public functions {sorted(code.functions)} given, expected exactly one"
        )
    buffers = len(spec.inputs) + len(spec.outputs) + spec.reports
    slots = "".join("d" if parameter.dtype.kind == "float" else "q" for parameter in spec.parameters)
    slots += "q" * spec.reports
    address = next(iter(code.functions.values()))
    return Compiled(
        code, ENTRY(address), address, slots,
        struct.Struct(f"{buffers}Q").pack, struct.Struct(slots).pack,
        compile_counts(spec), any(symbol in spec.source for symbol in blas.PRODUCTS),
    )  # fmt: skip
