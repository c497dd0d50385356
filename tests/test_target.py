"""Profiles describe targets that need not be present; specs are values."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
import re
from dataclasses import replace
from typing import Any

import pytest

import weft
from weft import dtypes
from weft.codegen import generate
from weft.dtypes import ALL, float64, int32, int64
from weft.errors import KernelError
from weft.kernels import Builder, Operand
from weft.target import BROWSER, CPU, Binding, KernelSpec, Parameter, TargetProfile, parameter_space

GPU = TargetProfile("wgsl-native", frozenset({"immediates"}), {"max-immediate-size": 128})


def test_the_cpu_has_every_type_as_it_is() -> None:
    for dtype in ALL:
        assert CPU.storage(dtype) is dtype
        assert CPU.itemsize(dtype) == dtype.itemsize
        assert CPU.supports(dtype)


@pytest.mark.parametrize("profile", [BROWSER, GPU], ids=["browser", "native"])
def test_webgpu_stores_int64_in_32_bits_and_has_no_float64(profile: TargetProfile) -> None:
    assert profile.storage(int64) is int32
    assert profile.itemsize(int64) == 4
    assert profile.supports(int64)
    assert not profile.supports(float64)
    for dtype in ALL:
        if dtype not in (int64, float64):
            assert profile.storage(dtype) is dtype
            assert profile.supports(dtype)


@pytest.mark.parametrize(
    ("count", "space"), [(1, "immediates"), (29, "immediates"), (32, "immediates"), (33, "uniform")]
)
def test_parameters_lie_in_immediates_while_they_fit(count: int, space: str) -> None:
    assert parameter_space(count, GPU) == space
    assert parameter_space(count, BROWSER) == "uniform"
    assert parameter_space(count, replace(GPU, limits={})) == "uniform"


def spec(**changes: object) -> KernelSpec:
    made = KernelSpec(
        name="add",
        language="wgsl",
        parameters=(Parameter("n", int64),),
        inputs=(Binding("a", dtypes.float32),),
        outputs=(Binding("b", dtypes.float32, "read_write"),),
        workgroup_size=(256, 1, 1),
        workgroup_count=("ceil_div(n, 256)", "1", "1"),
        source="fn main() {}",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_spec_is_a_value() -> None:
    assert spec() == spec()
    assert hash(spec()) == hash(spec())
    assert spec() != spec(source="fn main() { }"), "the source is part of the kernel"
    assert spec() != spec(reports=True)
    assert pickle.loads(pickle.dumps(spec())) == spec()
    assert "fn main" not in repr(spec()), "a listing is printed on purpose, not with every repr"


def test_a_profile_is_a_value_with_its_limits_and_choices() -> None:
    assert replace(GPU, limits={"max-immediate-size": 256}) != GPU
    assert replace(GPU, choices={"matmul": ("large", 1)}) != GPU
    assert replace(GPU, features=frozenset()) != GPU
    limits = {"b": 2, "max-immediate-size": 128}
    profile = replace(GPU, limits=limits)
    other = replace(GPU, limits=dict(reversed(limits.items())))
    assert profile == other and hash(profile) == hash(other), "the order of a table does not matter"
    limits["b"] = 3
    assert profile == other, "a profile keeps its own copy"
    assert pickle.loads(pickle.dumps(profile)) == profile and hash(copy.deepcopy(profile)) == hash(profile)


def test_kernels_are_kept_by_limits_and_choices() -> None:
    """A kernel for a large GPU is not reused for a small GPU that differs only in its limits."""
    builder = Builder("copy")
    (index,) = builder.axes((64,))
    operands = [Operand(at, dtypes.float32, (64,), (1,), at) for at in range(2)]
    builder.store(operands[1], [index], builder.load(operands[0], [index]))
    kernel = builder.finish().kernel
    large = TargetProfile("wgsl-browser", limits={"max-storage-buffers-per-shader-stage": 8})
    small = replace(large, limits={"max-storage-buffers-per-shader-stage": 1})
    tuned = replace(large, choices={"copy": ("team", 8)})
    assert generate(kernel, large).language == "wgsl"
    with pytest.raises(KernelError):
        generate(kernel, small)
    before = generate.cache_info().misses
    assert generate(kernel, tuned) == generate(kernel, large)
    assert generate.cache_info().misses == before + 1, "choices are part of the key"


def _caches() -> dict[str, Any]:
    """Return the functions of weft that cache their results, by name."""
    found = {}
    for info in pkgutil.walk_packages(weft.__path__, "weft."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if hasattr(value, "cache_info") and value.__module__ == info.name:
                found[f"{info.name}.{name}"] = value
    return found


def test_no_cache_reads_a_profile_that_it_is_not_keyed_by() -> None:
    """Functions with a cache take a profile as an argument, or do not depend on a profile."""
    read = {
        name: function for name, function in _caches().items()
        if re.search(r"profile|limits|choices", inspect.getsource(function.__wrapped__))
    }  # fmt: skip
    assert "weft.codegen.generate" in read
    for name, function in read.items():
        assert "profile" in inspect.signature(function).parameters, name
