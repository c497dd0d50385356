"""The names of arguments: what PyTorch accepts for a function, its function here accepts.

The names come from PyTorch itself: the schemas of its operators, and the signatures of its functions in Python.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch.nn import functional as tf

import weft as wf
from weft.nn import functional as F
from weft.ops import FUNCTIONS
from weft.ops.registry.pytorch_names import REDUCED
from weft.ops.registry.signatures import NUMPY_NAMES

ABSENT: dict[str, set[str]] = {
    "addmm": {"out_dtype"},
    "baddbmm": {"out_dtype"},
    "bmm": {"out_dtype"},
    "group_norm": {"cudnn_enabled"},
    "layer_norm": {"cudnn_enable"},
    "mm": {"out_dtype"},
    "view": {"dtype"},
}
"""Names that weft does not take: the result type of products, options of cuDNN, a view as another type."""
NOT_OF_PYTHON = {"einsum": {"path"}, "tensordot": {"dims_self", "dims_other"}}
"""Names in schemas that PyTorch's Python function does not have."""


@lru_cache(maxsize=None)
def schemas() -> dict[str, set[str]]:
    """Return the names of the arguments of PyTorch's operators on tensors, of all overloads."""
    found: dict[str, set[str]] = {}
    for schema in torch._C._jit_get_all_schemas():
        space, _, name = schema.name.partition("::")
        kinds = [str(each.type) for each in schema.arguments]
        of_names = any(
            each.name in ("names", "dimname") or "Dimname" in str(each) for each in schema.arguments
        )
        lists = kinds[:1] == ["List[Tensor]"] and schema.arguments[0].name != "tensors"  # TorchScript's own
        if space != "aten" or of_names or lists or not any("Tensor" in kind for kind in kinds[:2]):
            continue
        own = {each.name for each in schema.arguments if not each.is_out}
        found.setdefault(name, set()).update("input" if each == "self" else each for each in own)
    return found


def names_in_python(function: Any) -> set[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set()
    return {each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}


def expected(name: str) -> set[str]:
    """Return the names that PyTorch takes in the places where the function appears in weft too."""
    spec, found = FUNCTIONS[name], set[str]()
    top, method = getattr(torch, name, None), getattr(torch.Tensor, name, None)
    if spec.top and inspect.isfunction(top):
        found |= names_in_python(top)
    elif (spec.top and top is not None) or (spec.method and method is not None):
        found |= schemas().get(name, set())
    if spec.functional and hasattr(tf, spec.functional_name):
        found |= names_in_python(getattr(tf, spec.functional_name))
    return found - NOT_OF_PYTHON.get(name, set()) - {"out"}  # out= has tests of its own


def accepted(front: Any) -> set[str]:
    """Return the names that a front takes."""
    several = [front.several.name] if front.several else []
    return {each.name for each in front.arguments} | {*several, *front.keywords, *front.neutral}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_names_of_pytorch_are_accepted(name: str) -> None:
    missing = expected(name) - accepted(FUNCTIONS[name].front)
    assert missing == ABSENT.get(name, set()), f"{name} lacks {sorted(missing)}"


def test_the_names_of_many_functions_are_compared() -> None:
    assert sum(bool(expected(name)) for name in FUNCTIONS) > 200


@pytest.mark.parametrize("name", [name for name, spec in FUNCTIONS.items() if spec.method])
def test_methods_take_the_names_of_their_functions(name: str) -> None:
    method = getattr(wf.Tensor, name)
    if not hasattr(method, "front"):
        pytest.skip("a method of the handle itself")
    names = expected(name) - ABSENT.get(name, set()) - {"input", "self", "_stacklevel"}
    if name in ("split", "norm") or FUNCTIONS[name].functional:
        names &= schemas().get(name, set())
    assert names <= accepted(method.front) | {method.front.arguments[0].name}


@pytest.mark.parametrize("name", [name for name, spec in FUNCTIONS.items() if spec.inplace])
def test_forms_in_place_take_the_same_names(name: str) -> None:
    own = {each.name for each in FUNCTIONS[name].front.arguments} - {"out", "inplace"}
    assert own <= accepted(getattr(wf.Tensor, f"{name}_").front)


@pytest.mark.parametrize(
    "name",
    [name for name, spec in FUNCTIONS.items() if {"dim", "keepdim"} & {a.name for a in spec.front.arguments}],
)
def test_numpys_names_are_taken(name: str) -> None:
    front = FUNCTIONS[name].front
    own = {each.name for each in front.arguments}
    for key, argument in NUMPY_NAMES.items():
        assert argument not in own or key in own or front.keywords[key] == argument


@pytest.mark.parametrize("name", REDUCED)
def test_deprecated_arguments_of_losses_stand_where_pytorch_has_them(name: str) -> None:
    ours = list(inspect.signature(getattr(F, name)).parameters)
    assert ours == list(inspect.signature(getattr(tf, name)).parameters)


@pytest.mark.parametrize(
    ("size_average", "reduce"), [(True, None), (False, None), (None, False), (False, True), (True, False)]
)
def test_deprecated_arguments_of_losses_mean_what_they_mean_in_pytorch(
    size_average: bool | None, reduce: bool | None
) -> None:
    x, y = [1.0, 2.0], [0.0, 4.0]
    with pytest.warns(UserWarning, match="reduction="):
        ours = F.mse_loss(wf.tensor(x), wf.tensor(y), size_average, reduce)
    with pytest.warns(UserWarning, match="reduction="):
        theirs = tf.mse_loss(torch.tensor(x), torch.tensor(y), size_average, reduce)
    assert ours.tolist() == theirs.tolist()


def test_calls_as_programs_write_them(device: Any) -> None:
    name = device.name
    x = wf.arange(6.0, device=name).reshape(2, 3)
    assert [part.shape for part in x.split(split_size=[1, 2], dim=-1)] == [(2, 1), (2, 2)]
    assert len(x.split(split_size=1)) == 2
    assert x.view(size=(3, 2)).shape == x.reshape(shape=(3, 2)).shape == (3, 2)
    assert x.repeat(repeats=(2, 1)).shape == x.tile(2, 1).shape == x.tile(dims=(2, 1)).shape == (4, 3)
    assert x.expand(size=(4, 2, 3)).shape == (4, 2, 3)
    assert wf.empty(size=(2,), device=name).shape == wf.zeros(size=(2,), device=name).shape == (2,)
    assert wf.ones(size=[2, 1], device=name, pin_memory=False, layout=None).shape == (2, 1)
    assert (
        wf.randint(9, size=(2,), device=name).shape
        == wf.randint(high=9, size=(2,), device=name).shape
        == (2,)
    )
    assert wf.zeros(2, device=name).copy_(wf.ones(2, device=name), non_blocking=True).tolist() == [1, 1]
    assert x.to(wf.float32, non_blocking=True) is x
    assert x.to(name, wf.float16, True).dtype is wf.float16
    one = wf.tensor([1], device=name)
    assert wf.zeros(2, device=name).scatter_(0, one, value=3.0).tolist() == [0, 3]
    assert x.max(other=x).tolist() == x.tolist()
    assert F.dropout(x, 0.0, True, True).shape == (2, 3)
    y = wf.ones(2, device=name, requires_grad=True)
    (g,) = wf.autograd.grad((y * y).sum(), y, only_inputs=True)
    assert g.tolist() == [2, 2]
    with pytest.raises(wf.errors.UnsupportedError, match="only_inputs=False"):
        wf.autograd.grad((y * y).sum(), y, only_inputs=False)


def test_dropout_in_place_overwrites(device: Any) -> None:
    x = wf.ones(1000, device=device.name)
    assert F.dropout(x, 0.5, True, True) is x
    assert set(x.tolist()) == {0.0, 2.0}
