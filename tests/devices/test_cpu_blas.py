"""The adapter in front of a BLAS with 32-bit sizes: every routine gets its own arguments."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

from weft.devices.cpu import blas, compiler

TYPES: dict[str, tuple[Any, Any]] = {
    "e": (ctypes.c_int32, ctypes.c_int32), "s": (ctypes.c_int64, ctypes.c_int32), "p": (ctypes.c_void_p,) * 2,
    "T": (ctypes.c_float,) * 2,
}  # fmt: skip


@pytest.mark.parametrize("symbol", ["weft.sgemm", "weft.sgemv"])
def test_sizes_become_narrow(symbol: str) -> None:
    letters = blas.PRODUCTS[symbol].arguments
    seen: list[tuple[Any, ...]] = []
    narrow = ctypes.CFUNCTYPE(None, *(TYPES[letter][1] for letter in letters))
    behind = narrow(lambda *given: seen.append(given))
    address = ctypes.cast(behind, ctypes.c_void_p).value or 0
    found = blas.Blas(Path("fake"), dict.fromkeys(blas.PRODUCTS, address), 32, lambda count: None, lambda: 1)
    code = compiler._compiled("blas adapter", blas.adapter(found))
    wide = ctypes.CFUNCTYPE(None, *(TYPES[letter][0] for letter in letters))
    given = tuple(position + 1 for position in range(len(letters)))
    wide(code.functions[symbol])(*given)
    assert seen == [given]
