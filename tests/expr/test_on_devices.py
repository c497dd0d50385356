"""The accuracy that the table states, measured on the devices themselves: generated code, real rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.codegen.wgsl_run import dispatch
from tests.expr.arithmetic import Array, ulps
from tests.expr.test_functions import RANGES, longdouble, powers, samples
from weft import dtypes
from weft.dtypes import DType, float32
from weft.expr import FUNCTIONS, call, cast, const, evaluate, load, simplify, variable
from weft.expr.node import INDEX
from weft.kernels import Axis, Buffer, Kernel, Part, Store

if TYPE_CHECKING:
    from weft.devices.base import Device

LEAST_NORMAL = 2.0**-126


def computed(device: Device, name: str, operands: list[Array]) -> Array:
    """Return the function of float32 arrays of equal lengths."""
    count, index = operands[0].size, variable("i", INDEX)
    value = call(name, *[load(f"x{number}", index, float32) for number in range(len(operands))])
    buffers = [
        *(Buffer(f"x{number}", float32) for number in range(len(operands))),
        Buffer("z", float32, "read_write"),
    ]
    part = Part((Axis(index, const(count, INDEX)),), (Store("z", index, value),))
    kernel = Kernel(name, tuple(buffers), (), (part,))
    arrays = [*operands, np.zeros(count, "float32")]
    return dispatch(device, kernel, [(float32, array) for array in arrays], [])[-1]


@pytest.mark.parametrize("name", [*sorted(RANGES), "pow"])
def test_functions_are_as_accurate_on_a_device_as_their_rows_say(device: Device, name: str) -> None:
    operands = list(powers()) if name == "pow" else [samples(name)]
    got = computed(device, name, operands)
    with np.errstate(all="ignore"):
        wide = [operand.astype("longdouble") for operand in operands]
        reference = np.power(*wide) if name == "pow" else longdouble(name, operands[0])
        if name in ("silu", "gelu"):  # -inf * 0, as in PyTorch
            reference[np.isneginf(operands[0])] = np.nan
        error = ulps(got, reference)
        if device.profile.dialect != "llvm":  # a GPU may take denormals for 0
            for array in (*operands, reference):
                error[(np.abs(array) < LEAST_NORMAL) & (array != 0)] = 0
    # WGSL's division has an error of at most 2.5 units in the last place, LLVM's of half a unit
    allowed = FUNCTIONS[name].accuracy + (0 if device.profile.dialect == "llvm" else 2)
    worst = int(np.argmax(error))
    assert error[worst] <= allowed, (
        f"{name}({[x[worst] for x in operands]}) is {got[worst]!r}, {reference[worst]!r}"
    )


NARROW = (dtypes.float16, dtypes.bfloat16, dtypes.int16, dtypes.int8, dtypes.uint8)


@pytest.mark.parametrize("narrow", NARROW, ids=lambda dtype: dtype.name)
def test_a_cast_to_a_narrow_type_rounds_inside_an_expression(device: Device, narrow: DType) -> None:
    """It rounds to nearest even, to infinity and to subnormal numbers; integers wrap. In vectors, and in remainders."""
    edges = [
        0.0,
        -0.0,
        1.0,
        1 / 3,
        2049.0,
        2051.0,
        65519.0,
        65520.0,
        -7e4,
        6e-8,
        3e-8,
        1.00390625,
        1.01171875,
        1e38,
    ]
    given = np.array([*edges, *np.linspace(-9, 9, 37)], "float32")
    if narrow.kind != "float":
        given = np.arange(-300, 301, 7).astype("float32")
    index, count = variable("i", INDEX), given.size
    source, made = load("x0", index, float32), dtypes.float32
    value = source if narrow.kind == "float" else cast(source, dtypes.int32)
    value = cast(cast(value, narrow), made) * 0.5 + cast(cast(value, narrow), made)
    buffers = (Buffer("x0", float32), Buffer("z", float32, "read_write"))
    part = Part((Axis(index, const(count, INDEX)),), (Store("z", index, value),))
    kernel = Kernel("rounds", buffers, (), (part,))
    found = dispatch(device, kernel, [(float32, given), (float32, np.zeros(count, "float32"))], [])[-1]
    expected = evaluate(value, {"i": np.arange(count)}, lambda name, at: given[at])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("number", [2049, 0.1, 257])
@pytest.mark.parametrize("narrow", NARROW[:2], ids=lambda dtype: dtype.name)
def test_a_constant_of_a_narrow_type_is_rounded(device: Device, narrow: DType, number: float) -> None:
    index = variable("i", INDEX)
    wide = const(number, dtypes.int32 if isinstance(number, int) else float32)
    value = simplify(cast(cast(wide, narrow), float32))
    part = Part((Axis(index, const(3, INDEX)),), (Store("z", index, value),))
    kernel = Kernel("constant", (Buffer("z", float32, "read_write"),), (), (part,))
    found = dispatch(device, kernel, [(float32, np.zeros(3, "float32"))], [])[-1]
    np.testing.assert_array_equal(found, np.full(3, number, narrow.numpy).astype("float32"))
