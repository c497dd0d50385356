"""Profiles answer for a target that is not there; specs are values."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from weft import dtypes
from weft.dtypes import ALL, float64, int32, int64
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


def test_a_profile_is_a_value_by_dialect_and_features() -> None:
    assert replace(GPU, limits={"max-immediate-size": 256}) == GPU
    assert hash(replace(GPU, limits={})) == hash(GPU)
    assert replace(GPU, features=frozenset()) != GPU
    assert pickle.loads(pickle.dumps(GPU)) == GPU
