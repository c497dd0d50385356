"""``jvp`` against ``torch.func.jvp``, and every op's tangent against its gradient: <u, J t> is <J' u, t>."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from tests.func.pairs import IDS, PROGRAMS, Program, assert_same, draws, here, there, types_of
from tests.ops.arrays import Arg, to_weft
from tests.ops.cases import FUNCTION_CASES, OP_CASES, Case
from tests.ops.test_functions import can_check, flags, leaves, rebuilt, results_of
from weft import dtypes
from weft.errors import ArgumentTypeError, DTypeError, ShapeError, UnsupportedError
from weft.func import grad, jvp, vjp
from weft.ops import FUNCTIONS, OPS, bind

# PyTorch warns of itself when its forward mode is first used
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.mark.parametrize("program", PROGRAMS, ids=IDS)
def test_jvp_equals_torch(device: Any, program: Program) -> None:
    for dtype in types_of(device):
        arrays, directions = draws(program.shapes, dtype), draws(program.shapes, dtype, 1)
        ours = jvp(program.here, tuple(here(arrays, device.name)), tuple(here(directions, device.name)))
        values = tuple(there(arrays))
        # PyTorch has no forward mode for some of the programs' writes: its double gradient says the same
        theirs = torch.autograd.functional.jvp(program.there, values, tuple(there(directions)))
        assert_same(ours, theirs, program.name, 8)
        jitted = wf.jit(lambda v, t: jvp(program.here, v, t))
        again = jitted(tuple(here(arrays, device.name)), tuple(here(directions, device.name)))
        assert_same(again, theirs, f"jit {program.name}", 8)


def test_trees_and_aux() -> None:
    def function(tree: Any, y: Any) -> Any:
        return {"a": tree["x"] * y, "b": [tree["x"].sum()]}, tree["x"] + 1

    arrays = draws([(3,), (3,), (3,), (3,)], wf.float32)
    results = []
    for transform, (x, y, s, t) in ((jvp, here(arrays, "cpu")), (torch.func.jvp, there(arrays))):
        results.append(transform(function, ({"x": x}, y), ({"x": s}, t), has_aux=True))
    assert_same(results[0], results[1])


def test_tangents_of_views_and_writes() -> None:
    def function(x: Any) -> Any:
        y = x * 2
        rows = y[1:]
        before = rows.sum()
        rows.mul_(x[1:])  # the tangent of y, and of every view, changes
        y[0] = 1.0  # and this part's is zero from here on
        flat = y.reshape(-1)
        flat[2:4] = x[0, :2].exp()
        made = x.new_zeros(2, 3) if hasattr(x, "new_zeros") else wf.zeros(2, 3, dtype=x.dtype, device="cpu")
        made[:, 1] = y[:, 0]
        return before * y + rows.sum() * made, y.detach() * x

    arrays, directions = draws([(2, 3)], wf.float64), draws([(2, 3)], wf.float64, 1)
    ours = jvp(function, tuple(here(arrays, "cpu")), tuple(here(directions, "cpu")))
    theirs = torch.func.jvp(function, tuple(there(arrays)), tuple(there(directions)))
    assert_same(ours, theirs)


def test_a_tangent_may_have_any_strides() -> None:
    x, t = here(draws([(2, 3), (3, 2)], wf.float64), "cpu")
    moved = jvp(lambda x: x.as_strided((4,), (1,), 1), (x,), (t.T,))[1]
    assert moved.tolist() == t.T.reshape(-1)[1:5].tolist()


def test_levels_do_not_mix() -> None:
    x, one = wf.tensor(3.0), wf.tensor(1.0)

    def derivative(function: Any, at: Any) -> Any:
        return jvp(function, (at,), (one,))[1]

    assert derivative(lambda x: x * derivative(lambda y: x + y, one), x).item() == 1.0
    assert derivative(lambda x: x * derivative(lambda y: x * y, one), x).item() == 6.0
    assert (
        derivative(lambda x: derivative(lambda y: x * y * y, x), x).item() == 12.0
    )  # 2 x y at y = x: 2 x x, so 4 x
    assert grad(lambda x: x * derivative(lambda y: x * y, one))(x).item() == 6.0
    assert derivative(lambda x: x * grad(lambda y: x * y)(one), x).item() == 6.0
    w = wf.tensor(2.0, requires_grad=True)
    made = derivative(lambda x: x * x * w, x)
    made.backward()
    assert w.grad.item() == 6.0


CASES = [(name, case) for name, cases in FUNCTION_CASES.items() for case in cases[:3] if can_check(case)]
CASES = [(name, case) for name, case in CASES if not (name == "batch_norm" and case.arguments[1:])]


@pytest.mark.parametrize("name", list(dict.fromkeys(name for name, _ in CASES)))
def test_tangents_and_gradients_of_functions_agree(name: str) -> None:
    for own, case in CASES:
        if own == name:
            check(name, case)


def check(name: str, case: Case) -> None:
    """Compare a function's forward derivative in a random direction with its backward derivative."""
    count = iter(range(100))
    values = [
        to_weft(leaf.make(dtypes.float64, str(next(count))), "cpu") if isinstance(leaf, Arg) else leaf
        for leaf in leaves(case.arguments)
    ]
    wanted = [at for at, flag in enumerate(flags(case, dtypes.float64)) if flag]

    def function(*given: Any) -> Any:
        whole = list(values)
        for at, tensor in zip(wanted, given, strict=True):
            whole[at] = tensor
        found = results_of(FUNCTIONS[name].function(*rebuilt(case, whole), **case.keywords))
        return tuple(value for value in found if isinstance(value, wf.Tensor) and value.dtype.kind == "float")

    agree(name, function, [values[at] for at in wanted])


def agree(name: str, function: Any, primals: list[Any]) -> None:
    """<u, J t> is <J' u, t> for random t and u."""
    if not all(primal.numel() for primal in primals):
        return
    tangents = tuple(here(draws([tuple(primal.shape) for primal in primals], wf.float64, 1), "cpu"))
    output, moved = jvp(function, tuple(primals), tangents)
    same, pull = vjp(function, *primals)
    assert [value.tolist() for value in output] == [value.tolist() for value in same]
    cotangents = tuple(here(draws([tuple(value.shape) for value in output], wf.float64, 2), "cpu"))
    forward = [(u * t).numpy() for u, t in zip(cotangents, moved, strict=True)]
    backward = [(g * t).numpy() for g, t in zip(pull(cotangents), tangents, strict=True)]
    size = sum(float(np.abs(value).sum()) for value in (*forward, *backward))
    assert (
        abs(sum(tangent.sum() for tangent in forward) - sum(grad.sum() for grad in backward)) <= 1e-9 * size
    ), name


OPS_MOVED = [
    (name, at)
    for name, cases in OP_CASES.items()
    for at, case in enumerate(cases)
    if OPS[name].gradient is not None
    and case.attributes.get("mode") not in ("prod", "amax", "amin")  # their gradient is scatter_reduce's
    and wf.float32 in case.dtypes
    and case.attributes.get("dtype", wf.float64) is wf.float64  # narrower types round
]


@pytest.mark.parametrize(("name", "at"), OPS_MOVED, ids=[f"{n}-{i}" for n, i in OPS_MOVED])
def test_tangents_and_gradients_of_ops_agree(name: str, at: int) -> None:
    op, case = OPS[name], OP_CASES[name][at]
    arrays = [
        operand.make(dtypes.float64, str(k)) if isinstance(operand, Arg) else operand
        for k, operand in enumerate(case.operands)
    ]
    values = [
        to_weft(array.astype("float64") if array.dtype.kind == "f" else array, "cpu")
        if isinstance(array, np.ndarray)
        else array
        for array in arrays
    ]
    attributes = {k: "cpu" if v == "{device}" else v for k, v in case.attributes.items()}
    float_ones = [
        k for k, value in enumerate(values) if isinstance(value, wf.Tensor) and value.dtype is wf.float64
    ]

    def function(*given: Any) -> Any:
        whole = list(values)
        for k, tensor in zip(float_ones, given, strict=True):
            whole[k] = tensor
        made = bind(op, *whole, **attributes)
        found = made if isinstance(made, tuple) else (made,)
        return tuple(
            result for k, result in enumerate(found) if result.dtype.kind == "float" and k not in op.constants
        )

    if float_ones and function(*(values[k] for k in float_ones)):
        agree(name, function, [values[k] for k in float_ones])


def test_mistakes() -> None:
    x = wf.tensor([1.0, 2.0])
    with pytest.raises(ArgumentTypeError, match="primals is of type Tensor, expected a tuple"):
        jvp(lambda x: x, x, x)
    with pytest.raises(ArgumentTypeError, match="tangents is"):
        jvp(lambda x: x, (x,), (x, x))
    with pytest.raises(ShapeError, match=r"shape of tangents is \(1,\), expected \(2,\)"):
        jvp(lambda x: x, (x,), (x[:1],))
    with pytest.raises(DTypeError, match="differentiated argument's dtype is int64"):
        jvp(lambda x: x, (wf.tensor([1]),), (wf.tensor([1]),))
    with pytest.raises(ArgumentTypeError, match="result is a float"):
        jvp(lambda x: 1.0, (x,), (x,))
    outside = wf.zeros(2)
    with pytest.raises(
        UnsupportedError, match="a captured tensor of the function that jvp transforms is written"
    ):
        jvp(lambda x: outside.add_(x), (x,), (x,))
    assert outside.tolist() == [0.0, 0.0]
    assert jvp(lambda x: (x > 1).float() + outside, (x,), (x,))[1].tolist() == [0.0, 0.0]
