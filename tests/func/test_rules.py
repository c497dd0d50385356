"""Every op under ``vmap`` compared with the op on each sample; ops without a rule are listed and raise an error."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import weft as wf
from tests.ops.arrays import Arg, assert_equal, from_weft, to_weft
from tests.ops.cases import OP_CASES, OpCase
from weft import dtypes
from weft.func import vmap
from weft.ops import OPS, bind

SAMPLES = 3
RAISES = {"nonzero"}
"""Ops that have no rule: what they give has another shape for each sample."""
FROM_NOTHING = {
    name for name, cases in OP_CASES.items() if not any(isinstance(a, Arg) for a in cases[0].operands)
}
DRAWS = {name for name in OP_CASES if OPS[name].random or name == "random_advance"}
MAPPED = [
    (name, at)
    for name, cases in OP_CASES.items()
    for at in range(len(cases))
    if name not in RAISES | FROM_NOTHING | DRAWS | {"transfer", "cast"}
]
MAPPED += [("cast", 0), ("transfer", 0)]


def dtype_of(case: OpCase) -> Any:
    return dtypes.float32 if dtypes.float32 in case.dtypes else case.dtypes[0]


def patterns(case: OpCase, name: str) -> list[tuple[bool, ...]]:
    """Return patterns of operands with samples: all, and each alone; an optimizer's numbers are the same for all samples."""
    shared = OPS[name].info.get("update", (0,))[0]
    may = [isinstance(operand, Arg) and at >= shared for at, operand in enumerate(case.operands)]
    if len(may) > 4:
        return [tuple(may)]
    every = [tuple(flags) for flags in product(*((True, False) if flag else (False,) for flag in may))]
    return [flags for flags in every if any(flags)]


@pytest.mark.parametrize(("name", "at"), MAPPED, ids=[f"{n}-{i}" for n, i in MAPPED])
def test_op_on_all_samples_equals_the_op_on_each(device: Any, name: str, at: int) -> None:
    case = OP_CASES[name][at]
    dtype = dtype_of(case)
    used = [operand.dtype or dtype for operand in case.operands if isinstance(operand, Arg)]
    if not all(device.supports(own) for own in used):
        return  # an error when the tensors are made, with vmap and without
    attributes = {k: device.name if v == "{device}" else v for k, v in case.attributes.items()}
    for pattern in patterns(case, name):
        samples = [
            [operand.make(dtype, f"{k} {n if mapped else 0}") if isinstance(operand, Arg) else operand
             for k, (operand, mapped) in enumerate(zip(case.operands, pattern, strict=True))]
            for n in range(SAMPLES)
        ]  # fmt: skip
        each = [run(name, [put(value, device) for value in row], attributes) for row in samples]
        expected = [np.stack([from_weft(row[k]) for row in each]) for k in range(len(each[0]))]
        whole = [put(np.stack([row[k] for row in samples]) if mapped else samples[0][k], device)
                 for k, mapped in enumerate(pattern)]  # fmt: skip
        dims = tuple(0 if mapped else None for mapped in pattern)
        mapped_op = vmap(lambda *operands: run(name, operands, attributes), in_dims=dims)
        found = mapped_op(*whole)
        for got, wanted in zip(found, expected, strict=True):
            assert_equal(from_weft(got), wanted, f"{name} {pattern}", max(case.scale, 4))


def put(value: Any, device: Any) -> Any:
    return to_weft(value, device.name) if isinstance(value, np.ndarray) else value


def run(name: str, operands: Any, attributes: Any) -> tuple[Any, ...]:
    made = bind(OPS[name], *operands, **attributes)
    return made if isinstance(made, tuple) else (made,)


@pytest.mark.parametrize("name", sorted(RAISES))
def test_an_op_without_a_rule_raises(name: str) -> None:
    case = OP_CASES[name][0]
    operands = [
        np.stack([operand.make(dtype_of(case), str(k))] * SAMPLES) for k, operand in enumerate(case.operands)
    ]
    given = [to_weft(operand, "cpu") for operand in operands]
    with pytest.raises(wf.errors.UnsupportedError, match=f"{name}: has no vmap rule"):
        vmap(lambda *values: run(name, values, case.attributes))(*given)


def test_every_op_is_mapped_or_listed() -> None:
    declared = {
        name
        for name, op in OPS.items()
        if ".grad" not in name and not name.startswith("custom.") and (op.run is None or op.fused)
    }  # no interpreter sees an op that is made of others; of those fused in eager mode vmap maps what they stand for
    assert {name for name, _ in MAPPED} | RAISES | FROM_NOTHING | DRAWS == declared
    assert {"full", "arange", "linspace"} == FROM_NOTHING
