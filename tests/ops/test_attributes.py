"""Attributes of ops: every op declares their types, and the attributes of real programs fit these."""

from __future__ import annotations

import inspect

import pytest

import weft as wf
import weft.compiler  # declares the ops of loops
from weft.ops import OPS, lookup
from weft.ops.registry.attributes import attribute_types, fits


def test_every_op_says_what_attributes_it_takes() -> None:
    for op in list(OPS.values()):
        for names in attribute_types(op):
            assert all(kind is not inspect.Parameter.empty for kind in names.values()), op
        if not op.attributes:
            kinds = {
                parameter.kind for parameter in inspect.signature(op.view or op.infer).parameters.values()
            }
            assert inspect.Parameter.VAR_KEYWORD not in kinds, (
                f"{op.name} takes attributes without saying which"
            )


def test_paths_of_views_are_told_apart() -> None:
    (kinds,) = attribute_types(lookup("update_view"))
    assert fits((("slice", (("dim", 0), ("start", 1))),), kinds["path"])
    assert not fits((("slice", (("dim", [0]),)),), kinds["path"])
    assert not fits((("slice",),), kinds["path"])


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, int, True),
        (True, int, False),
        (1.0, int, False),
        (wf.float32, wf.dtypes.DType, True),
        ("float32", wf.dtypes.DType, False),
        (True, bool | float, True),
        ("x", bool | float, False),
        (((1, 2), (3, 4)), tuple[tuple[int, int], ...], True),
        (((1, 2), (3,)), tuple[tuple[int, int], ...], False),
        ([1], tuple[int, ...], False),
    ],
)
def test_values_fit_or_not(value, kind, expected) -> None:
    assert fits(value, kind) is expected
