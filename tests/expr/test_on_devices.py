"""The accuracy that the table states, measured on the devices themselves: generated code, real rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.codegen.wgsl_run import dispatch
from tests.expr.arithmetic import Array, ulps
from tests.expr.test_functions import RANGES, longdouble, powers, samples
from weft.dtypes import float32
from weft.expr import FUNCTIONS, call, const, load, variable
from weft.expr.node import INDEX
from weft.kernels import Axis, Buffer, Kernel, Part, Store

if TYPE_CHECKING:
    from weft.devices.base import Device

LEAST_NORMAL = 2.0**-126


def computed(device: Device, name: str, operands: list[Array]) -> Array:
    """The function over float32 arrays of one length."""
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
    # WGSL's division is correct to 2.5 units, LLVM's to half of one
    allowed = FUNCTIONS[name].accuracy + (0 if device.profile.dialect == "llvm" else 2)
    worst = int(np.argmax(error))
    assert error[worst] <= allowed, (
        f"{name}({[x[worst] for x in operands]}) is {got[worst]!r}, {reference[worst]!r}"
    )
