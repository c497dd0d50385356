"""The text of attention's WGSL: every form on every target within its limits, and the tile that a target gets."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from weft import codegen, dtypes
from weft.dtypes import DType
from weft.errors import KernelError
from weft.kernels import Library, Operand
from weft.kernels.library import attentions
from weft.ops.attention import kernels as attention_kernels
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.spec import KernelRequest
from weft.target import BROWSER, TargetProfile

LIMITS = {"max-storage-buffers-per-shader-stage": 8, "max-immediate-size": 128}
NATIVE = TargetProfile("wgsl-native", frozenset({"immediates"}), LIMITS)
ROOMY = TargetProfile(
    "wgsl-native", frozenset({"immediates"}), {**LIMITS, "max-compute-workgroup-storage-size": 49152}
)
SOFTWARE = TargetProfile("wgsl-native", frozenset({"immediates"}), ROOMY.limits, software=True)
PROFILES = {"browser": BROWSER, "native": NATIVE, "roomy": ROOMY}


def programs(
    profile: TargetProfile, size: int, dtype: DType, mask: DType | None, length: int = 100
) -> list[Any]:
    """The kernels of forward and backward."""
    q = (2, length, 4, size)
    kv, sums = (2, length, 2, size), (2, 4, length, 2)
    forward = [
        (q, dtype),
        (kv, dtype),
        (kv, dtype),
        *([] if mask is None else [((2, 1, length, length), mask)]),
    ]
    own = dtype.compute
    backward = [(q, dtype), (q, dtype), (sums, own), *forward]
    found = []
    for lower, inputs, outputs in (
        (attention_kernels.lower, forward, [(q, dtype), (sums, own)]),
        (attention_kernels.lower_backward, backward, [(q, dtype), (kv, dtype), (kv, dtype)]),
    ):
        made = [
            Operand(at, kind, shape, contiguous_strides(shape), at)
            for at, (shape, kind) in enumerate([*inputs, *outputs])
        ]
        options = {"causal": mask is None, "scale": 0.1}
        program = lower(KernelRequest(made[: len(inputs)], made[len(inputs) :], options, profile))
        found += [step.kernel for step in program.steps]
    return found


@pytest.mark.parametrize(("kind", "size"), list(itertools.product(PROFILES, (1, 4, 31, 64, 100, 256))))
def test_every_form_is_within_the_limits(kind: str, size: int) -> None:
    for dtype, mask in (
        (dtypes.float32, None),
        (dtypes.float16, dtypes.bool_),
        (dtypes.bfloat16, dtypes.bfloat16),
    ):
        specs = [
            codegen.generate(kernel, PROFILES[kind]) for kernel in programs(PROFILES[kind], size, dtype, mask)
        ]
        assert [spec.name.split("_")[1] for spec in specs] == ["forward", "stats", "query", "key"]


def test_aligned_heads_are_read_in_fours() -> None:
    for size, word in ((64, "array<vec4<f32>>"), (63, "array<f32>")):
        first = codegen.generate(programs(NATIVE, size, dtypes.float32, None)[0], NATIVE)
        assert f"q_data: {word}" in first.source


def test_the_tile_by_what_a_target_has_and_by_the_sizes() -> None:
    assert attentions.tile_for(ROOMY.limits, False, 64, 256) == "flat"
    assert attentions.tile_for(ROOMY.limits, False, 64, 1024) == "tall"
    assert attentions.tile_for(ROOMY.limits, False, 128, 1024) == "broad"
    assert attentions.tile_for(ROOMY.limits, False, 256, 1024) == "flat"
    assert attentions.tile_for(BROWSER.limits, False, 64, 1024) == "small"
    assert attentions.tile_for(SOFTWARE.limits, True, 64, 1024) == "small"
    assert attentions.TILES["small"].memory <= 16384


@pytest.mark.parametrize("size", [40, 64, 100, 128, 256])
def test_long_sequences_on_every_target(size: int) -> None:
    for profile in (*PROFILES.values(), SOFTWARE):
        for kernel in programs(profile, size, dtypes.float32, None, length=1024):
            codegen.generate(kernel, profile)


def test_a_software_driver_is_told_how_long_the_loops_are() -> None:
    spec = codegen.generate(programs(SOFTWARE, 64, dtypes.float32, None)[0], SOFTWARE)
    assert spec.bounds and "software WebGPU driver" in spec.bounds[0].message


def test_unknown_choices_are_named() -> None:
    kernel = programs(NATIVE, 4, dtypes.float32, None)[0]
    for name, value, message in (
        ("tile", "huge", "tile is 'huge', expected one of"),
        ("form", "sideways", "form is 'sideways'"),
    ):
        changed = Library(kernel.name, kernel.dtypes, tuple({**dict(kernel.options), name: value}.items()))
        with pytest.raises(KernelError, match=message):
            codegen.generate(changed, NATIVE)
