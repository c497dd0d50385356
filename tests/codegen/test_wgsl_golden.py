"""WGSL listings of a few kernels, kept as files: a change of the generator shows as a change of text.

``WEFT_REGENERATE=1`` writes them anew; read the difference before committing it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.codegen.test_wgsl_derived import operand, pointwise
from tests.codegen.test_wgsl_reductions import fold, normalized
from tests.conftest import ADAPTER
from weft import codegen, devices, dtypes
from weft.expr import call, const, load, variable, where
from weft.expr.node import INDEX
from weft.kernels import Axis, Buffer, Builder, Epilogue, Kernel, Library, Part, Store
from weft.target import BROWSER, KernelSpec, TargetProfile

GOLDEN = Path(__file__).parent / "golden"
NATIVE = TargetProfile("wgsl-native", frozenset({"immediates"}), {"max-immediate-size": 128})


def embedding() -> Kernel:
    """Rows of a table by index, with the check of each index."""
    builder = Builder("embedding")
    index, table, out = (
        operand(0, dtypes.int64, (20,)), operand(1, dtypes.float16, (50, 8)), operand(2, dtypes.float16, (20, 8))
    )  # fmt: skip
    i, j = builder.axes((20, 8))
    wanted = builder.load(index, [i])
    valid = (wanted >= 0) & (wanted < builder.integer("rows", 50))
    builder.check(valid, wanted)
    builder.store(out, [i, j], builder.load(table, [where(valid, wanted, 0), j]))
    return _kernel(builder.finish().kernel)


def linear_relu(tile: str) -> Library:
    """A product with bias and activation, both results stored, the second with rows in pairs of dimensions turned."""
    i, j, k = (variable(name, INDEX) for name in ("i0_0", "i0_1", "i0_2"))
    element = variable("element", dtypes.float32)
    biased = element + load("e0", k, dtypes.float32)
    axes = tuple(Axis(name, const(size, INDEX)) for name, size in ((i, 8), (j, 16), (k, 70)))
    stores = (
        Store("e1", i * 1120 + j * 70 + k, biased),
        Store("e2", j * 560 + i * 70 + k, call("maximum", biased, const(0.0, dtypes.float32))),
    )
    buffers = (
        Buffer("e0", dtypes.float32),
        *(Buffer(f"e{at}", dtypes.float32, "read_write") for at in (1, 2)),
    )
    epilogue = Epilogue("add_and_relu", Part(axes, stores), (1, 128, 70), element, buffers)
    return Library("matmul", (dtypes.float32,) * 3, (("tile", tile),), epilogue)


def _kernel(kernel: Kernel | Library | KernelSpec) -> Kernel:
    assert isinstance(kernel, Kernel)
    return kernel


LISTINGS: dict[str, Callable[[], KernelSpec]] = {
    "add_native": lambda: codegen.generate(pointwise(dtypes.float32, dtypes.float32, 100, 4, "x + y").kernel, NATIVE),
    "add_browser": lambda: codegen.generate(pointwise(dtypes.float32, dtypes.float32, 100, 4, "x + y").kernel, BROWSER),
    "tanh_float16": lambda: codegen.generate(pointwise(dtypes.float16, dtypes.float16, 100, 4, "tanh(x)").kernel, NATIVE),
    "sum_rows": lambda: codegen.generate(fold(dtypes.float32, "sum", (8, 9, 5), (1,), False, dtypes.float32).kernel, NATIVE),
    "argmax_workgroup": lambda: codegen.generate(fold(dtypes.float32, "argmax", (8, 900), (1,), True, dtypes.int64).kernel, NATIVE),
    "softmax_rows": lambda: codegen.generate(normalized("softmax", (8, 90), False, dtypes.float32).kernel, NATIVE),
    "embedding": lambda: codegen.generate(embedding(), NATIVE),
    "matmul": lambda: codegen.generate(Library("matmul", (dtypes.float32,) * 3), NATIVE),
    "matmul_software": lambda: codegen.generate(Library("matmul", (dtypes.float32,) * 3, (("tile", "software"),)), NATIVE),
    "matmul_epilogue": lambda: codegen.generate(linear_relu("software"), NATIVE),
    "conv2d_forward": lambda: codegen.generate(Library("conv2d", (dtypes.float32,), (("kind", "forward"),)), BROWSER),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTINGS)
def test_listing(name: str) -> None:
    path, source = GOLDEN / f"{name}.wgsl", LISTINGS[name]().source
    if os.environ.get("WEFT_REGENERATE") == "1":
        path.write_text(source)
    assert source == path.read_text(), f"{path.name} differs; WEFT_REGENERATE=1 writes the listings anew"


def test_no_listing_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.wgsl")} == set(LISTINGS)


@pytest.mark.webgpu
@pytest.mark.parametrize("name", LISTINGS)
def test_listing_compiles(name: str) -> None:
    """Both dialects are WGSL that the driver's front end accepts, immediates or not."""
    import wgpu

    device = devices.open(ADAPTER)
    source = (GOLDEN / f"{name}.wgsl").read_text()
    module = device._wgpu.create_shader_module(code=source)  # type: ignore[attr-defined]
    assert isinstance(module, wgpu.GPUShaderModule)


def test_the_browser_dialect_needs_no_extension() -> None:
    source = LISTINGS["add_browser"]().source
    assert "immediate" not in source and "enable " not in source and "var<uniform>" in source
