"""No kernel reads or writes outside of its storages: every op, and every function with its gradients, between guards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft as wf
from tests.ops.arrays import Placed, to_weft
from tests.ops.cases import FUNCTION_CASES, OP_CASES, Case, tried
from tests.ops.guards import WIDTH, Guards
from tests.ops.test_functions import flags, leaves, placed, rebuilt
from tests.ops.test_reference import place, run, supported, types_used
from tests.ops.test_sharing import tensors_of
from weft import dtypes
from weft.devices.base import Storage
from weft.ops import FUNCTIONS, OPS

NARROW = ((dtypes.float16,), (dtypes.int16,), (dtypes.int8, dtypes.uint8, dtypes.bool_))
"""Types that devices without narrow stores pack in words: of each group the first that a case takes is tried."""
OP_ROWS = [(name, at) for name, cases in OP_CASES.items() for at in range(len(cases)) if name != "transfer"]
FUNCTION_ROWS = [(name, at) for name, cases in FUNCTION_CASES.items() for at in range(len(cases))]


def identified(rows: list[tuple[str, int]]) -> list[str]:
    return [f"{name}-{at}" for name, at in rows]


def bytes_of(tensors: list[Any]) -> list[bytes]:
    return [np.ascontiguousarray(tensor.detach().numpy()).tobytes() for tensor in tensors]


def op_results(name: str, at: int, dtype: Any, layout: str, device: str) -> list[bytes]:
    """Return the results of an op."""
    case = OP_CASES[name][at]
    return bytes_of(list(run(name, case, place(case, dtype, layout), device)))


@pytest.mark.parametrize(("name", "at"), OP_ROWS, ids=identified(OP_ROWS))
def test_ops_keep_to_their_storages(device: Any, name: str, at: int) -> None:
    case = OP_CASES[name][at]
    dtypes_tried = {
        case.dtypes[0],
        *(dtype for kind in NARROW for dtype in [d for d in kind if d in case.dtypes][:1]),
    }
    layouts = ["dense"] if OPS[name].random or name == "strided" else ["dense", "stepped"]
    for dtype in dtypes_tried:
        if not supported(device, *types_used(case, dtype)):
            continue
        for layout in layouts:
            expected = op_results(name, at, dtype, layout, device.name)
            with Guards(device) as guards:
                found = op_results(name, at, dtype, layout, device.name)
                guards.check(f"{name} of {dtype.name}, {layout}")
            assert found == expected, f"{name} of {dtype.name}, {layout}: results differ between guard bytes"


def function_results(name: str, case: Case, dtype: Any, device: str) -> list[bytes]:
    """Return the results of a function, and its gradients."""
    wf.manual_seed(0)
    wanted = flags(case, dtype)
    made, operands = [], []
    for value, needs in zip(leaves(placed(case, dtype, "dense")), wanted, strict=True):
        made.append(value.on(device, needs)[1] if isinstance(value, Placed) else value)
        if needs:
            operands.append(made[-1])
    results = tensors_of(FUNCTIONS[name].function(*rebuilt(case, made), **case.keywords), wf.Tensor)
    found = bytes_of(results)
    recorded = [result for result in results if result.requires_grad]
    if recorded:
        draw = np.random.default_rng(1)
        seeds = [draw.uniform(0.5, 1.5, tuple(result.shape)) for result in recorded]
        grads = [to_weft(seed.astype(r.dtype.numpy), device) for seed, r in zip(seeds, recorded, strict=True)]
        wf.autograd.backward(recorded, grads)
        found += bytes_of([operand.grad for operand in operands if operand.grad is not None])
    return found


@pytest.mark.parametrize(("name", "at"), FUNCTION_ROWS, ids=identified(FUNCTION_ROWS))
def test_functions_and_gradients_keep_to_their_storages(device: Any, name: str, at: int) -> None:
    case = FUNCTION_CASES[name][at]
    for dtype in tried(case, device):
        expected = function_results(name, case, dtype, device.name)
        with Guards(device) as guards:
            found = function_results(name, case, dtype, device.name)
            guards.check(f"{name} of {dtype.name}")
        assert found == expected, f"{name} of {dtype.name}: results differ between guard bytes"


def test_guards_see_a_write_beside_a_storage(device: Any) -> None:
    with Guards(device) as guards:
        storage = device.allocate(16)
        guards.check("untouched")
        beside = Storage(device, storage.buffer, storage.offset + 256, WIDTH - 256)
        device.write(beside, memoryview(b"\x00" * 4))
        with pytest.raises(AssertionError, match="behind a storage of 16 bytes"):
            guards.check("touched")
