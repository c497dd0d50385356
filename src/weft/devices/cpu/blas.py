"""The BLAS that matrix products are handed to: NumPy's bundled OpenBLAS, the ``scipy-openblas`` wheels, or none.

Kernels call ``weft.sgemm`` and ``weft.dgemm``, whose sizes are 64 bits wide; a library with 32-bit sizes gets an
adapter in front, which the compiler makes. Nothing is looked for before the first ``cpu`` device opens.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

PRODUCTS = {"weft.sgemm": ("cblas_sgemm", "float"), "weft.dgemm": ("cblas_dgemm", "double")}
"""What kernels call: the C function behind it, and the IR type of its numbers."""

_PATTERNS = (("scipy_{}64_", 64), ("scipy_{}", 32))
_FOLDERS = (
    ("numpy", ("../numpy.libs", ".dylibs")),
    ("scipy_openblas64", ("lib",)),
    ("scipy_openblas32", ("lib",)),
)
_ENDINGS = (".so", ".dylib", ".dll")


@dataclass(frozen=True)
class Blas:
    """A loaded library: where it is, the addresses of its C functions, and the bits of its integers.

    ``set_threads`` and ``get_threads`` are its own thread pool's.
    """

    path: Path
    addresses: dict[str, int]
    bits: int
    set_threads: Callable[[int], object]
    get_threads: Callable[[], int]


_lock = threading.Lock()
_alone = 0  # how many are inside ``on_one_thread``
_threads_before = 1


@contextmanager
def on_one_thread() -> Iterator[None]:
    """The library without its own threads, while the device's threads call it side by side."""
    global _alone, _threads_before
    found = find()
    if found is None:
        yield
        return
    with _lock:
        if _alone == 0:
            _threads_before = found.get_threads()
            found.set_threads(1)
        _alone += 1
    try:
        yield
    finally:
        with _lock:
            _alone -= 1
            if _alone == 0:
                found.set_threads(_threads_before)


@lru_cache(maxsize=None)
def find() -> Blas | None:
    """The BLAS of this process, ``None`` where there is none."""
    for path in _candidates():
        found = load(path)
        if found is not None:
            return found
    return None


def load(path: Path) -> Blas | None:
    """The library at ``path``, ``None`` where it is not an OpenBLAS that this process can load."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError:  # built for another machine: the next one may do
        return None
    for pattern, bits in _PATTERNS:
        names = {symbol: pattern.format(name) for symbol, (name, _) in PRODUCTS.items()}
        if all(hasattr(library, name) for name in names.values()):
            addresses = {symbol: _address(getattr(library, name)) for symbol, name in names.items()}
            threads = (
                getattr(library, pattern.format(f"openblas_{verb}_num_threads")) for verb in ("set", "get")
            )
            return Blas(path, addresses, bits, *threads)
    return None


def _candidates() -> Iterator[Path]:
    """Files that may be an OpenBLAS, best first: what NumPy has loaded already, then the wheels."""
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
    """IR of the 64-bit entry points in front of a library with 32-bit sizes."""
    return "\n".join(
        _ADAPTER.format(symbol=symbol, T=kind, address=found.addresses[symbol])
        for symbol, (_, kind) in PRODUCTS.items()
    )


# Sizes fit: kernels give what is beyond 31 bits to loops of their own.
_ADAPTER = """
define void @{symbol}(i32 %order, i32 %ta, i32 %tb, i64 %m, i64 %n, i64 %k,
    {T} %alpha, ptr %a, i64 %lda, ptr %b, i64 %ldb, {T} %beta, ptr %c, i64 %ldc) {{
  %m32 = trunc i64 %m to i32
  %n32 = trunc i64 %n to i32
  %k32 = trunc i64 %k to i32
  %lda32 = trunc i64 %lda to i32
  %ldb32 = trunc i64 %ldb to i32
  %ldc32 = trunc i64 %ldc to i32
  %gemm = inttoptr i64 {address} to ptr
  call void %gemm(i32 %order, i32 %ta, i32 %tb, i32 %m32, i32 %n32, i32 %k32,
      {T} %alpha, ptr %a, i32 %lda32, ptr %b, i32 %ldb32, {T} %beta, ptr %c, i32 %ldc32)
  ret void
}}
"""
