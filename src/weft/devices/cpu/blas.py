"""The BLAS that matrix products are handed to: NumPy's bundled OpenBLAS, the ``scipy-openblas32`` wheel, or none.

Kernels call ``weft.sgemm`` and ``weft.dgemm``, whose sizes are 64 bits wide; a library with 32-bit sizes gets an
adapter. Nothing is looked for before the first ``cpu`` device opens.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

PRODUCTS = {"weft.sgemm": "sgemm", "weft.dgemm": "dgemm"}


@dataclass(frozen=True)
class Blas:
    """A loaded library: where it is, the pattern of its C names, and the bits of its integers."""

    path: Path
    pattern: str
    bits: int
    library: Any

    def address(self, name: str) -> int:
        """The address of a C function, ``cblas_sgemm``."""
        function = getattr(self.library, self.pattern.format(name))
        return ctypes.cast(function, ctypes.c_void_p).value or 0


_NAMES = (("scipy_{}64_", 64), ("scipy_{}", 32))


def _candidates() -> Iterator[Path]:
    """Files that may be an OpenBLAS, best first: what NumPy already loaded, then the wheel."""
    for package, folders in (
        ("numpy", ("../numpy.libs", ".dylibs")),
        ("scipy_openblas64", ("lib",)),
        ("scipy_openblas32", ("lib",)),
    ):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for folder in folders:
            yield from sorted((Path(spec.origin).parent / folder).glob("*openblas*"))


@lru_cache(maxsize=None)
def find() -> Blas | None:
    """The BLAS of this process, ``None`` where there is none."""
    for path in _candidates():
        if not path.is_file() or path.suffix in (".a", ".py", ".pc"):
            continue
        try:
            library = ctypes.CDLL(str(path.resolve()))
        except OSError:  # built for another machine, or not a library: the next one may do
            continue
        for pattern, bits in _NAMES:
            if hasattr(library, pattern.format("cblas_sgemm")):
                return Blas(path.resolve(), pattern, bits, library)
    return None


def symbols() -> dict[str, int]:
    """What generated code may call: the 64-bit entry points by weft's names."""
    found = find()
    if found is None:
        return {}
    return {symbol: found.address(f"cblas_{name}") for symbol, name in PRODUCTS.items()}
