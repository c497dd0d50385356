"""Other machines than this one: older and newer processors, a BLAS of 32-bit integers, none at all.

Each runs in an interpreter of its own, with what ``devices.cpu`` finds out about the machine replaced.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
x86 = pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="names x86 processors")


def run_apart(script: str) -> str:
    """What a script prints in an interpreter of its own, at the root of the checkout."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, env=os.environ | {"PYTHONPATH": os.pathsep.join([".", *sys.path])},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@x86
def test_a_processor_without_float16_and_wide_vectors() -> None:
    printed = run_apart("""
        from weft.devices.cpu import compiler
        compiler._host = lambda found=compiler._host: (found(), ("x86-64", ""))[1]
        from weft import dtypes
        from tests.codegen import test_llvm_memory as memory, test_llvm_reductions as reductions
        for lanes in (False, True):
            for dtype in (dtypes.float16, dtypes.bfloat16):
                memory.test_all_16_bit_floats_widen_exactly(dtype, lanes)
                memory.test_floats_narrow_to_the_nearest_even(dtype, lanes)
            for dtype in dtypes.ALL:
                memory.test_copies_keep_every_value(dtype, lanes, 77)
        memory.test_strided_and_offset_operands(50)
        reductions.test_later_folds_use_earlier_ones((3, 50))
        reductions.test_nan_wins_and_the_first_is_found(1)
        print(len(compiler._register_imports()))
    """)
    assert printed == "2"  # the size of the cache, and the conversions


@x86
def test_results_do_not_depend_on_the_width_of_vectors() -> None:
    """AVX2 against AVX-512, and against vectors of 128 bits with the same fused multiply-add."""
    script = """
        import hashlib
        from weft.devices.cpu import compiler
        name, features = compiler._host()
        compiler._host = lambda: ({cpu!r}, {features!r})
        from tests.codegen.llvm_run import run
        from tests.codegen.test_llvm import big_steps
        for kernel, (step, arrays) in big_steps().items():
            bits = b"".join(array.tobytes() for array in run(step, arrays))
            print(kernel, hashlib.sha256(bits).hexdigest())
    """
    host = run_apart("from weft.devices.cpu import compiler; print(compiler._host()[1])")
    if "+avx2" not in host or "+fma" not in host:
        pytest.skip("this processor has no AVX2")
    narrow = run_apart(script.format(cpu="x86-64-v3", features="+prefer-128-bit"))
    wide = run_apart(script.format(cpu="x86-64-v3", features=""))
    assert wide == narrow
    assert len(wide.splitlines()) == 5
    if "+avx512vl" in host:
        assert run_apart(script.format(cpu="x86-64-v4", features="-prefer-256-bit")) == wide


MATMULS = """
    from tests.codegen import test_llvm_matmul as matmul
    from weft import dtypes
    for dtype in (dtypes.float32, dtypes.float64):
        matmul.test_every_layout(dtype, None)
    matmul.test_broadcast_and_overlapping_operands(None)
    matmul.test_an_empty_sum_is_zero(None)
"""


def test_a_blas_of_32_bit_integers() -> None:
    spec = importlib.util.find_spec("scipy")
    folder = Path(spec.origin).parents[1] / "scipy.libs" if spec is not None and spec.origin else None
    files = [] if folder is None else sorted(folder.glob("libscipy_openblas*"))
    if not files:
        pytest.skip("SciPy, whose bundled OpenBLAS has 32-bit integers, is not installed")
    printed = run_apart(f"""
        from pathlib import Path
        from weft.devices.cpu import blas, compiler
        found = blas.load(Path({str(files[0])!r}))
        blas.find = lambda: found
        {textwrap.indent(textwrap.dedent(MATMULS), " " * 8).strip()}
        print(found.bits, len(compiler._register_imports()), matmul.cpu().profile.features >= {{"blas"}})
    """)
    assert printed == "32 2 True"  # the size of the cache, and the adapter


def test_no_blas_at_all() -> None:
    printed = run_apart(f"""
        from weft.devices.cpu import blas
        blas.find = lambda: None
        {textwrap.indent(textwrap.dedent(MATMULS), " " * 8).strip()}
        print("blas" in matmul.cpu().profile.features, matmul.cpu().description.endswith("products are generated"))
    """)
    assert printed == "False True"
