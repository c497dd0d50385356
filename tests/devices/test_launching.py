"""Launches: built-in functions over a packed block, each of which runs one kernel."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from weft.devices.cpu.compiler import compile_kernel
from weft.devices.cpu.launching import launch

SCALED = """
define void @scaled(ptr %buffers, ptr %parameters, i64 %first, i64 %items) {
  %source = load ptr, ptr %buffers
  %at.target = getelementptr ptr, ptr %buffers, i64 1
  %target = load ptr, ptr %at.target
  %at.index = getelementptr i64, ptr %parameters, i64 0
  %index = load i64, ptr %at.index
  %at.factor = getelementptr i64, ptr %parameters, i64 1
  %factor = load double, ptr %at.factor
  %from = getelementptr double, ptr %source, i64 %index
  %value = load double, ptr %from
  %product = fmul double %value, %factor
  store double %product, ptr %target
  ret void
}
"""
REPORTING = """
define void @reporting(ptr %buffers, ptr %parameters, i64 %first, i64 %items) {
  %status = load ptr, ptr %buffers
  %index = load i64, ptr %parameters
  %wrong = icmp sgt i64 %index, 9
  br i1 %wrong, label %report, label %done
report:
  store i64 1, ptr %status
  %at.value = getelementptr i64, ptr %status, i64 1
  store i64 %index, ptr %at.value
  br label %done
done:
  ret void
}
"""


def made(source: str, name: str, *arguments: Any, counter: Any, reports: bool = False) -> Any:
    code = compile_kernel(name, source)
    return launch(code.functions[name], *arguments, 1, counter, reports, (code, counter))


@pytest.mark.parametrize(("changing", "given", "expected"), [
    ((), (), 30.0), ((0,), (2,), 40.0), ((1,), (0.5,), 1.5), ((1, 0), (-1.0, 0), -2.0), ((1,), (3,), 9.0),
])  # fmt: skip
def test_parameters_that_change_take_the_places_of_the_usual_ones(
    changing: tuple[int, ...], given: tuple[float, ...], expected: float
) -> None:
    counter, source, target = ctypes.c_int64(), np.array([2.0, 3.0, 4.0]), np.zeros(1)
    run = made(SCALED, "scaled", 2, "qd", (1, 10.0), changing, counter=counter)
    assert run(source.ctypes.data, target.ctypes.data, *given) is None
    assert target[0] == expected and counter.value == 1
    assert run(source.ctypes.data, target.ctypes.data, *given) is None
    assert counter.value == 2


def test_what_is_no_address_is_refused_before_anything_is_done() -> None:
    counter, target = ctypes.c_int64(), np.zeros(1)
    run = made(SCALED, "scaled", 2, "qd", (1, 10.0), (1,), counter=counter)
    for arguments in ((None, target.ctypes.data, 1.0), (target.ctypes.data,), (target.ctypes.data,) * 2,
                      (target.ctypes.data, target.ctypes.data, "x")):  # fmt: skip
        with pytest.raises(TypeError):
            run(*arguments)
    assert target[0] == 0 and counter.value == 0


def test_an_index_that_a_kernel_reports_is_given() -> None:
    run = made(REPORTING, "reporting", 0, "qq", (3, 0), (0,), counter=ctypes.c_int64(), reports=True)
    assert run(9) is None and run(12) == 12 and run(-1) is None
