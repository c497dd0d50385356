"""Functions of one to three spatial dimensions: one parameter list, a name and a docstring for each, and temporaries."""

from __future__ import annotations

import inspect
import math
import pickle

import pytest

from weft import dtypes
from weft.nn import functional
from weft.ops.conv.kernels import lowering
from weft.ops.conv.sizes import ROLES
from weft.ops.registry.temporaries import Scratch

FAMILIES = {
    "conv{}d": (1, 2, 3), "conv_transpose{}d": (1, 2, 3), "max_pool{}d": (1, 2, 3), "avg_pool{}d": (2, 3),
    "lp_pool{}d": (2, 3), "adaptive_avg_pool{}d": (1, 2, 3), "adaptive_max_pool{}d": (1, 2, 3),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_functions_of_a_family_have_one_signature_and_names_of_their_own(family: str) -> None:
    functions = {rank: getattr(functional, family.format(rank)) for rank in FAMILIES[family]}
    signatures = [inspect.signature(function) for function in functions.values()]
    assert all(signature == signatures[0] for signature in signatures)
    assert "rank" not in signatures[0].parameters and next(iter(signatures[0].parameters)) == "input"
    docs = [function.__doc__ for function in functions.values()]
    assert None not in docs and len(set(docs)) == len(docs)
    for rank, function in functions.items():
        assert function.__name__ == function.__qualname__ == family.format(rank)
        assert pickle.loads(pickle.dumps(function)) is function


def test_temporaries_are_numbered_and_listed() -> None:
    scratch = Scratch(3)
    first, second = scratch.take(dtypes.float32, (2, 3)), scratch.take(dtypes.int32, (4,))
    assert (first.index, second.index, scratch.free) == (3, 4, 5)
    assert (first.strides, second.strides) == ((3, 1), (1,)) and first.slot != second.slot
    assert scratch.program(()).temporaries == tuple(
        (value.dtype, math.prod(value.shape)) for value in (first, second)
    )


def test_each_kind_of_convolution_has_a_lowering_and_roles() -> None:
    assert all(callable(lowering(kind)) and sorted(roles) == [0, 1, 2] for kind, roles in ROLES.items())
