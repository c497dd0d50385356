"""Workgroup counts as Python functions."""

from __future__ import annotations

import pytest

from weft import dtypes, errors
from weft.devices.counts import compile_counts
from weft.target import KernelSpec, Parameter


def spec(*counts: str) -> KernelSpec:
    parameters = (Parameter("n", dtypes.int64), Parameter("m", dtypes.int64), Parameter("k", dtypes.float32))
    return KernelSpec("k", "wgsl", parameters, (), (), (1, 1, 1), counts, "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("n", 1000),
        ("n * m + 1", 3001),
        ("ceil_div(n, 256)", 4),
        ("ceil_div(n * m, 1000)", 3),
        ("minimum(ceil_div(n, 3), 65535)", 334),
        ("idiv(n, 7) + irem(n, 7)", 142 + 6),
        ("n if n > m else m", 1000),
        ("maximum(1, m)", 3),
        ("where((n > 1) & (m != 3), n, 12)", 12),
    ],
)
def test_counts(text: str, value: int) -> None:
    assert compile_counts(spec(text, "1", "m"))([1000, 3, 0.5]) == (value, 1, 3)


def test_constant_counts_need_no_parameters() -> None:
    assert compile_counts(spec("1", "2", "3"))([]) == (1, 2, 3)


def test_a_function_that_host_code_does_not_have_is_named() -> None:
    with pytest.raises(errors.KernelError, match="uses 'sqrt'"):
        compile_counts(spec("int64(sqrt(k))", "1", "1"))
