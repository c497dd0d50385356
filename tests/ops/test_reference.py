"""Each op through ``bind`` against its NumPy reference: every dtype, every layout of operands and of targets.

References of floating point ops are computed in float64 from the same (rounded) operands, then rounded once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft as wf
from tests.ops.arrays import LAYOUTS, Arg, Array, Placed, assert_equal, from_weft
from tests.ops.cases import OP_CASES, OpCase
from weft import dtypes
from weft.dtypes import DType
from weft.ops import OPS, bind

Row = tuple[str, int, DType]
ROWS: list[Row] = [
    (name, at, dtype)
    for name, cases in OP_CASES.items()
    for at, case in enumerate(cases)
    for dtype in case.dtypes
]


def attributes_of(case: OpCase, device: str) -> dict[str, Any]:
    return {key: device if value == "{device}" else value for key, value in case.attributes.items()}


def place(case: OpCase, dtype: DType, layout: str) -> list[Any]:
    """Return the case's operands: placed arrays, and numbers as they are."""
    return [
        LAYOUTS[layout](operand.make(dtype, str(at))) if isinstance(operand, Arg) else operand
        for at, operand in enumerate(case.operands)
    ]


def expected_of(name: str, case: OpCase, placed: list[Any], device: str) -> list[Array]:
    """Return the reference's results, computed in float64 and rounded to the op's result types."""
    op, attributes = OPS[name], attributes_of(case, device)
    arrays = [operand.array if isinstance(operand, Placed) else operand for operand in placed]
    with np.errstate(all="ignore"):
        narrow = op.reference(*arrays, **attributes)
        if op.random:  # draws are defined in float32
            wide = narrow
        else:
            wide = op.reference(*[_widened(array) for array in arrays], **attributes)
    narrow, wide = (
        [results] if isinstance(results, np.ndarray) else list(results) for results in (narrow, wide)
    )
    return [np.asarray(w).astype(n.dtype) for n, w in zip(narrow, wide, strict=True)]


def _widened(value: Any) -> Any:
    is_float = isinstance(value, np.ndarray) and dtypes.from_numpy(value.dtype).kind == "float"
    return value.astype("float64") if is_float else value


def supported(device: Any, *used: DType) -> bool:
    return all(device.supports(dtype) for dtype in used)


def types_used(case: OpCase, dtype: DType) -> list[DType]:
    own = [operand.dtype or dtype for operand in case.operands if isinstance(operand, Arg)]
    return [*own, case.attributes.get("dtype", dtype)]


@pytest.mark.parametrize(("name", "at", "dtype"), ROWS, ids=[f"{n}-{i}-{d.name}" for n, i, d in ROWS])
def test_op_equals_its_reference(device: Any, name: str, at: int, dtype: DType) -> None:
    case = OP_CASES[name][at]
    if not supported(device, *types_used(case, dtype)):
        with pytest.raises(wf.errors.DTypeError, match="float64 is not available on device"):
            run(name, case, place(case, dtype, "dense"), device.name)
        return
    layouts = ["dense"] if OPS[name].random or name == "strided" else list(LAYOUTS)
    if dtype not in (dtypes.float32, dtypes.float16) and layouts[1:]:
        layouts = ["dense", "stepped"]  # how an element is read does not depend on how it is found
    for layout in layouts:
        placed = place(case, dtype, layout)
        results = run(name, case, placed, device.name)
        for got, expected in zip(results, expected_of(name, case, placed, device.name), strict=True):
            check(name, case, got, expected, layout)


def check(name: str, case: OpCase, got: Any, expected: Array, how: str) -> None:
    values = from_weft(got)
    if OPS[name].random and expected.dtype == np.float64:  # draws have the precision of float32
        assert values.dtype == np.float64
        values, expected = values.astype("float32"), expected.astype("float32")
    assert_equal(values, expected, f"{name} {how}", case.scale)


def run(name: str, case: OpCase, placed: list[Any], device: str) -> tuple[Any, ...]:
    operands = [operand.on(device)[1] if isinstance(operand, Placed) else operand for operand in placed]
    results = bind(OPS[name], *operands, **attributes_of(case, device))
    return results if isinstance(results, tuple) else (results,)


TARGETS = [
    (n, i)
    for n, cases in OP_CASES.items()
    for i in range(len(cases))
    if OPS[n].view is None and n not in ("cast", "transfer")
]


@pytest.mark.parametrize(("name", "at"), TARGETS, ids=[f"{n}-{i}" for n, i in TARGETS])
def test_op_writes_into_strided_targets(device: Any, name: str, at: int) -> None:
    case = OP_CASES[name][at]
    dtype = dtypes.float32 if dtypes.float32 in case.dtypes else case.dtypes[0]
    if not supported(device, *types_used(case, dtype)):
        return  # an error, as the test above shows
    placed = place(case, dtype, "dense")
    expected = expected_of(name, case, placed, device.name)
    for layout in ("dense", "stepped", "reversed"):
        targets = [LAYOUTS[layout](np.zeros_like(array)).on(device.name) for array in expected]
        operands = [
            operand.on(device.name)[1] if isinstance(operand, Placed) else operand for operand in placed
        ]
        into = tuple(view for _, view in targets)
        given = bind(OPS[name], *operands, **attributes_of(case, device.name), into=into)
        assert given is into[0] or given == into
        for (base, view), value in zip(targets, expected, strict=True):
            check(name, case, view, value, f"into {layout}")
            if layout == "stepped" and value.ndim:
                assert not from_weft(base)[..., 0::2].any(), (
                    f"{name}: elements beside the target were written"
                )


@pytest.mark.parametrize("name", ["add", "matmul", "softmax", "cat", "sum", "update_view", "gather", "exp"])
def test_op_gives_the_same_bits_twice(device: Any, name: str) -> None:
    case = OP_CASES[name][0]
    placed = place(case, dtypes.float32, "dense")
    first, second = (run(name, case, placed, device.name)[0].numpy().tobytes() for _ in range(2))
    assert first == second
