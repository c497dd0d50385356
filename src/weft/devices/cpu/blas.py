"""The BLAS that computes matrix products: NumPy's bundled OpenBLAS, the ``scipy-openblas`` wheels, or none.

Kernels call the symbols of ``PRODUCTS`` (``weft.sgemm`` …), whose sizes are 64 bits wide. A library with 32-bit sizes
is called through a compiled adapter. The search for a library happens when the first ``cpu`` device opens.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Routine:
    """A C function, the IR type of its numbers, and the kinds of its arguments.

    The letters are ``e`` for an enumeration, ``s`` for a size, ``T`` for a number, ``p`` for a pointer.
    """

    name: str
    kind: str
    arguments: str


_GEMM, _GEMV = "eeesssTpspsTps", "eessTpspsTps"
PRODUCTS = {
    "weft.sgemm": Routine("cblas_sgemm", "float", _GEMM),
    "weft.dgemm": Routine("cblas_dgemm", "double", _GEMM),
    "weft.sgemv": Routine("cblas_sgemv", "float", _GEMV),
    "weft.dgemv": Routine("cblas_dgemv", "double", _GEMV),
}
"""The symbols that kernels call, with the BLAS routines that implement them."""

ALONE = 9216
"""Multiplications up to which OpenBLAS never uses its threads (its smallest threshold, that of ``gemv``)."""

_PATTERNS = (("scipy_{}64_", 64), ("scipy_{}", 32))
_FOLDERS = (
    ("numpy", ("../numpy.libs", ".dylibs")),
    ("scipy_openblas64", ("lib",)),
    ("scipy_openblas32", ("lib",)),
)
_ENDINGS = (".so", ".dylib", ".dll")


@dataclass(frozen=True)
class Blas:
    """A loaded library: its path, the addresses of its C functions, and the width of its integers in bits.

    ``set_threads`` and ``get_threads`` set and return the size of the library's own thread pool.
    """

    path: Path
    addresses: dict[str, int]
    bits: int
    set_threads: Callable[[int], object]
    get_threads: Callable[[], int]


_lock = threading.Lock()
_alone = 0  # the number of threads inside ``ON_ONE_THREAD``
_threads_before = 1


class _OneThread:
    """A context manager that keeps the library on the calling thread, while the device's threads call it in parallel.

    The library's threads busy-wait for milliseconds after each call, on processors that the device's threads need.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        global _alone, _threads_before
        found = find()
        if found is None:
            return
        with _lock:
            if _alone == 0:
                _threads_before = found.get_threads()
                found.set_threads(1)
            _alone += 1

    def __exit__(self, *error: object) -> None:
        global _alone
        found = find()
        if found is None:
            return
        with _lock:
            _alone -= 1
            if _alone == 0:
                found.set_threads(_threads_before)


ON_ONE_THREAD = _OneThread()
"""Within this ``with`` block the library stays on the calling thread; any number of threads may enter at once."""


@lru_cache(maxsize=None)
def find() -> Blas | None:
    """Return the BLAS of this process, ``None`` where no library is found."""
    for path in _candidates():
        found = load(path)
        if found is not None:
            return found
    return None


def load(path: Path) -> Blas | None:
    """Load the library at ``path``; ``None`` where the file is not an OpenBLAS that this process can load."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError:  # built for another machine: the next candidate may load
        return None
    for pattern, bits in _PATTERNS:
        names = {symbol: pattern.format(routine.name) for symbol, routine in PRODUCTS.items()}
        if all(hasattr(library, name) for name in names.values()):
            addresses = {symbol: _address(getattr(library, name)) for symbol, name in names.items()}
            threads = (
                getattr(library, pattern.format(f"openblas_{verb}_num_threads")) for verb in ("set", "get")
            )
            return Blas(path, addresses, bits, *threads)
    return None


def _candidates() -> Iterator[Path]:
    """Yield files that may be an OpenBLAS, best first: the library that NumPy has loaded already, then the wheels."""
    for package, folders in _FOLDERS:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for folder in folders:
            files = sorted((Path(spec.origin).parent / folder).resolve().glob("*openblas*"))
            yield from (file for file in files if any(ending in file.name for ending in _ENDINGS))


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def adapter(found: Blas) -> str:
    """Return the IR of 64-bit entry points for a library with 32-bit sizes."""
    return "\n".join(
        _adapter(symbol, routine, found.addresses[symbol]) for symbol, routine in PRODUCTS.items()
    )


def _adapter(symbol: str, routine: Routine, address: int) -> str:
    """Return the IR of one entry point. Truncation is exact: kernels handle sizes beyond 31 bits without the BLAS."""
    types = {"e": ("i32", "i32"), "s": ("i64", "i32"), "T": (routine.kind,) * 2, "p": ("ptr", "ptr")}
    numbered = list(enumerate(routine.arguments))
    formal = ", ".join(f"{types[kind][0]} %a{number}" for number, kind in numbered)
    actual = ", ".join(
        f"{types[kind][1]} %{'n' if kind == 's' else 'a'}{number}" for number, kind in numbered
    )
    narrowed = [f"  %n{number} = trunc i64 %a{number} to i32" for number, kind in numbered if kind == "s"]
    return "\n".join([
        f"define void @{symbol}({formal}) {{", *narrowed, f"  %routine = inttoptr i64 {address} to ptr",
        f"  call void %routine({actual})", "  ret void", "}",
    ])  # fmt: skip
