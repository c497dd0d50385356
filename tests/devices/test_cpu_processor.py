"""Choices of ``cpu`` that depend on the processor: provided functions, the width of vectors, the share of a cache."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weft.devices.cpu import compiler, memory, processor

SCALE = """
declare {kind} @weft.provided.scaled.{name}({kind}, {kind})

define void @scale(ptr %x, ptr %n, ptr %y, i64 %count) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %px = getelementptr float, ptr %x, i64 %i
  %pn = getelementptr float, ptr %n, i64 %i
  %py = getelementptr float, ptr %y, i64 %i
  %vx = load {kind}, ptr %px, align 4
  %vn = load {kind}, ptr %pn, align 4
  %v = call {kind} @weft.provided.scaled.{name}({kind} %vx, {kind} %vn)
  store {kind} %v, ptr %py, align 4
  %next = add nuw nsw i64 %i, {lanes}
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def scaled(x: Any, n: Any, lanes: int, features: str, version: int) -> Any:
    """Return the provided function of arrays, as compiled for a processor with these features."""
    kind, name = ("float", "f32") if lanes == 1 else (f"<{lanes} x float>", f"v{lanes}f32")
    source = processor.with_provided(SCALE.format(kind=kind, name=name, lanes=lanes), features, version)
    assert "declare float @weft" not in source
    assert ("@llvm.ldexp" in source) == ("+avx512f" in features and version >= 22)
    code = compiler.compile_kernel("scale", source)
    y = np.empty_like(x)
    pointers = [ctypes.c_void_p(array.__array_interface__["data"][0]) for array in (x, n, y)]
    call = ctypes.CFUNCTYPE(None, *(ctypes.c_void_p,) * 3, ctypes.c_int64)(code.functions["scale"])
    call(*pointers, len(x))
    return y


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize(("features", "version"), [("+avx2,+avx512f", 22), ("+avx512f", 20), ("+avx2", 22)])
def test_numbers_are_scaled_alike_with_and_without_an_instruction(
    lanes: int, features: str, version: int
) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.uniform(-2, 2, 4064), [0.0, -0.0, 1.0, 1e-40, -3e38, np.inf, -np.inf, np.nan] * 4]
    )
    n = rng.integers(-252, 128, 4096)
    n[:380] = np.arange(-252, 128)
    x, n = x.astype("float32"), n.astype("int32")
    with np.errstate(all="ignore"):
        wanted = np.ldexp(x.astype("float64"), n).astype("float32")
    got = scaled(x, n.astype("float32"), lanes, features, version)
    np.testing.assert_array_equal(got.view("uint32")[:-4], wanted.view("uint32")[:-4])
    assert np.isnan(
        scaled(np.full(16, np.nan, "f"), np.full(16, np.nan, "f"), lanes, features, version)
    ).all()


def test_intels_processors_whose_clock_stays_get_vectors_of_64_bytes() -> None:
    assert processor.vectors("+avx512f,+avx512vbmi2") == ",-prefer-256-bit"
    assert processor.vectors("+avx512f,-avx512vbmi2") == ""
    assert processor.vectors("+avx2") == ""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="a process's processors are not known here")
def test_the_last_cache_is_shared_by_processors(tmp_path: Path) -> None:
    mine = sorted(os.sched_getaffinity(0))
    others = [max(mine) + 1 + number for number in range(7 * len(mine))]
    listed = ",".join(map(str, [*mine, *others]))
    for name, size, sharing in (("index0", "48K", str(mine[0])), ("index3", "307200K", listed)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "size").write_text(f"{size}\n")
        (tmp_path / name / "shared_cpu_list").write_text(f"{sharing}\n")
    assert memory.cache_share(tmp_path) == (300 << 20) // 8
    (tmp_path / "index3" / "shared_cpu_list").write_text(f"{mine[0]}-{mine[0]}\n")
    assert memory.cache_share(tmp_path) == 300 << 20
    assert memory.cache_share(tmp_path / "nothing") == 32 << 20
