"""Every public function and every op has a row in the table of cases, so that none is untested."""

from __future__ import annotations

import weft.tensors  # noqa: F401  (fills the tables)
from tests.ops.cases import FUNCTION_CASES, OP_CASES
from weft.ops import FUNCTIONS, OPS


def test_every_function_has_cases() -> None:
    assert set(FUNCTION_CASES) == set(FUNCTIONS)
    assert all(FUNCTION_CASES.values())


def test_every_op_has_cases() -> None:
    # derived gradients are tested with their ops, users' kernels (which other tests register) in tests/custom
    # and ops that are made of others, loops, in tests/control
    made = {name for name, op in OPS.items() if op.run is not None and not op.fused}
    declared = {name for name in OPS if ".grad" not in name and not name.startswith("custom.")} - made
    assert set(OP_CASES) == declared
    assert all(OP_CASES.values())
