"""``grad``, ``grad_and_value`` and ``vjp`` compared with ``torch.func``: values, trees, nesting, captures, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import weft as wf
from tests.func.pairs import IDS, PROGRAMS, Program, assert_same, draws, here, there, types_of
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, GradError, ShapeError, UnsupportedError
from weft.func import grad, grad_and_value, vjp


@pytest.mark.parametrize("program", PROGRAMS, ids=IDS)
def test_grad_equals_torch(device: Any, program: Program) -> None:
    for dtype in types_of(device):
        arrays = draws(program.shapes, dtype)
        places = tuple(range(len(arrays)))
        ours = grad_and_value(program.here, places)(*here(arrays, device.name))
        theirs = torch.func.grad_and_value(program.there, places)(*there(arrays))
        assert_same(ours, theirs, program.name, 4)
        jitted = wf.jit(grad_and_value(program.here, places))
        for _ in range(2):
            assert_same(jitted(*here(arrays, device.name)), theirs, f"jit {program.name}", 4)


@pytest.mark.parametrize("program", PROGRAMS, ids=IDS)
def test_grad_of_grad_equals_torch(program: Program) -> None:
    arrays = draws(program.shapes, wf.float64)

    def twice(transform: Any, function: Any) -> Any:
        return transform(lambda *xs: transform(lambda *ys: function(*ys))(*xs).sin().sum())

    ours = twice(grad, program.here)(*here(arrays, "cpu"))
    theirs = twice(torch.func.grad, program.there)(*there(arrays))
    assert_same(ours, theirs, program.name, 4)


def test_arguments_and_gradients_are_trees() -> None:
    def loss(parameters: Any, x: Any, scale: Any = 1.0) -> Any:
        return ((x @ parameters["w"] + parameters["b"][0]) ** 2).sum() * scale, {"seen": x * 2}

    arrays = draws([(3, 2), (2,), (4, 3)], wf.float32)
    results = []
    for transform, (w, b, x) in ((grad, here(arrays, "cpu")), (torch.func.grad, there(arrays))):
        results.append(transform(loss, argnums=(-1, 0), has_aux=True)({"w": w, "b": [b]}, x, scale=3.0))
    assert_same(results[0], results[1])
    (by_x, by_parameters), aux = results[0]
    assert set(by_parameters) == {"w", "b"}
    assert isinstance(by_parameters["b"], list)
    assert tuple(by_x.shape) == (4, 3)
    assert not aux["seen"].requires_grad


def test_outside_tensors_are_constants_that_an_outer_backward_sees(device: Any) -> None:
    w = wf.tensor([1.0, 2.0, 3.0], device=device.name, requires_grad=True)
    x = wf.tensor([1.0, 2.0, 3.0], device=device.name)
    made = grad(lambda x: (x * x * w).sum())(x)
    assert made.requires_grad
    assert w.grad is None
    made.sum().backward()
    assert w.grad.tolist() == [2.0, 4.0, 6.0]
    assert not grad(lambda x: (x**3).sum())(x).requires_grad
    with wf.no_grad():
        assert not grad(lambda x: (x * w).sum())(x).requires_grad
        assert grad(lambda x: (x * w).sum())(x).tolist() == [1.0, 2.0, 3.0]


def test_levels_do_not_mix() -> None:
    # the textbook case of perturbation confusion (Siskind and Pearlmutter 2005): d/dx x (d/dy (x y)) is 2 x, not 2
    x = wf.tensor(3.0)
    assert grad(lambda x: x * grad(lambda y: x * y)(wf.tensor(1.0)))(x).item() == 6.0
    assert grad(lambda x: x * grad(lambda y: x + y)(wf.tensor(1.0)))(x).item() == 1.0
    assert grad(lambda x: grad(lambda y: (x.detach() * y) * y)(x))(x).item() == 6.0  # of 2 y x0 with y = x
    assert grad(lambda x: grad(lambda y: y * y * y)(x.detach()) * x)(x).item() == 27.0


def test_no_grad_inside_is_a_constant_and_outside_is_not() -> None:
    x = wf.tensor([1.0, 2.0])

    def loss(x: Any) -> Any:
        with wf.no_grad():
            scale = (x * x).sum()
        return (x * scale).sum()

    assert grad(loss)(x).tolist() == [5.0, 5.0]
    with wf.no_grad():
        assert grad(lambda x: (grad(loss)(x) * x).sum())(x).tolist() == [5.0, 5.0]


def test_values_can_be_read_and_unused_arguments_have_zero_gradients() -> None:
    x = wf.tensor([1.0, 2.0])
    assert grad(lambda x: x.sum() * x.sum().item())(x).tolist() == [3.0, 3.0]
    assert grad(lambda x, y: x.sum(), 1)(x, x).tolist() == [0.0, 0.0]
    assert grad(lambda x: wf.tensor(2.0))(x).tolist() == [0.0, 0.0]


def test_tensors_made_in_the_function_can_be_written() -> None:
    def loss(x: Any) -> Any:
        made, filled = wf.empty(3), wf.tensor([1.0, 2.0, 3.0])
        made[:] = x
        filled *= x
        return (made * filled).sum()

    x = wf.tensor([1.0, 2.0, 3.0])
    assert grad(loss)(x).tolist() == [2.0, 8.0, 18.0]
    assert grad(lambda x: grad(loss)(x).sum())(x).tolist() == [2.0, 4.0, 6.0]


def test_vjp_equals_torch(device: Any) -> None:
    def function(x: Any, y: Any) -> Any:
        return {"a": x @ y, "b": (x.sum(0) * 2, y.exp())}

    arrays = draws([(2, 3), (3, 2), (2, 2), (3,), (3, 2)], wf.float32)
    results = []
    for transform, (x, y, a, b, c) in ((vjp, here(arrays, device.name)), (torch.func.vjp, there(arrays))):
        output, pull = transform(function, x, y)
        results.append((output, pull({"a": a, "b": (b, c)}), pull({"a": a * 2, "b": (b, c)})))
    assert_same(results[0], results[1])


def test_vjp_in_a_graph_and_after_an_outer_level() -> None:
    x = wf.tensor([0.5, 1.0])

    def pulled(x: Any) -> Any:
        output, pull, aux = vjp(lambda y: (y.sin(), y * 2), x, has_aux=True)
        return pull(output)[0] + aux

    expected = torch.tensor([0.5, 1.0])
    assert_same(pulled(x), expected.sin() * expected.cos() + expected * 2)
    assert_same(wf.jit(pulled)(x), expected.sin() * expected.cos() + expected * 2)
    assert_same(grad(lambda x: pulled(x).sum())(x), (2 * expected).cos() + 2)


def test_hooks_and_views_of_captured_tensors_are_left_alone() -> None:
    x, outside = wf.ones(3), wf.zeros(3)
    for write in (
        lambda x: outside.add_(1.0),
        lambda x: outside.add_(x),
        lambda x: outside[1:].mul_(2.0),
        lambda x: outside.copy_(x),
    ):
        with pytest.raises(
            UnsupportedError, match="a captured tensor of the function that grad transforms is written"
        ):
            grad(lambda x, write=write: (write(x), x.sum())[1])(x)
    assert outside.tolist() == [0.0, 0.0, 0.0]


def test_a_tensor_that_outlives_its_level_raises() -> None:
    kept: list[Any] = []
    grad(lambda x: (kept.append(x * 2), x.sum())[1])(wf.ones(3))
    for use in (lambda: kept[0] + 1, lambda: kept[0][0], lambda: wf.jit(lambda: kept[0] + 1)()):
        with pytest.raises(UnsupportedError, match="a tensor of a finished grad is used outside of it"):
            use()


@pytest.mark.parametrize("compiled", [wf.jit, wf.compile])
def test_a_compiled_function_is_part_of_a_transformed_one(compiled: Any) -> None:
    square = compiled(lambda x: (x * x).sum())
    assert grad(square)(wf.tensor([1.0, 2.0])).tolist() == [2.0, 4.0]
    assert wf.func.vmap(square)(wf.ones(3, 2)).tolist() == [2.0, 2.0, 2.0]


class Triple(wf.autograd.Function):
    """A square with a custom gradient that differs from the true gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return 3 * grad * ctx.saved_tensors[0]


def test_functions_with_a_backward_of_their_own_serve_one_level() -> None:
    x = wf.tensor([1.0, 2.0])
    assert grad(lambda x: Triple.apply(x).sum())(x).tolist() == [3.0, 6.0]
    for nested in (
        lambda: grad(lambda x: grad(lambda y: Triple.apply(y).sum())(x).sum())(x),
        lambda: wf.func.jvp(Triple.apply, (x,), (x,)),
        lambda: grad(lambda x: wf.func.vmap(Triple.apply)(x).sum())(x),
    ):
        with pytest.raises(UnsupportedError, match=r"Triple\.apply: argument 0 is differentiated by"):
            nested()
    with pytest.raises(UnsupportedError, match="checkpoint: is called in a function"):
        grad(lambda x: wf.utils.checkpoint.checkpoint(lambda y: y.sum(), x))(x)


def test_mistakes() -> None:
    x = wf.tensor([1.0, 2.0])
    with pytest.raises(
        GradError, match=r"result is a tensor of shape \(2,\), expected a tensor of shape \(\); reduce it"
    ):
        grad(lambda x: x)(x)
    with pytest.raises(GradError, match="result is a float"):
        grad(lambda x: 1.0)(x)
    with pytest.raises(DTypeError, match="dtype of the function's result is int64"):
        grad(lambda x: (x > 0).sum())(x)
    with pytest.raises(DTypeError, match="differentiated argument's dtype is int64"):
        grad(lambda x: x.sum())(wf.tensor([1, 2]))
    with pytest.raises(GradError, match="differentiated argument is of type int"):
        grad(lambda x: x)(3)
    with pytest.raises(ArgumentError, match="argnums is 1, expected within the 1 positional arguments"):
        grad(lambda x: x.sum(), 1)(x)
    with pytest.raises(ArgumentTypeError, match="argnums"):
        grad(lambda x: x.sum(), "x")(x)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="each once"):
        grad(lambda x: x.sum(), (0, -1))(x)
    with pytest.raises(ArgumentTypeError, match="a pair"):
        grad(lambda x: x.sum(), has_aux=True)(x)
    with pytest.raises(GradError, match="a leaf tensor that requires grad is written in place"):
        grad(lambda x: x.mul_(2).sum())(x)
    output, pull = vjp(lambda x: (x, {"a": x * 2}), x)
    assert output[1]["a"].tolist() == [2.0, 4.0]
    with pytest.raises(
        ArgumentTypeError, match=r"cotangent is \*, expected of the structure \(\*, \{'a': \*\}\)"
    ):
        pull(x)
    with pytest.raises(ShapeError, match=r"shape of the cotangent is \(1,\), expected \(2,\)"):
        pull((x, {"a": x[:1]}))
    with pytest.raises(ArgumentTypeError, match="result is a float"):
        vjp(lambda x: (x, 1.0), x)
    assert x.tolist() == [1.0, 2.0]


def test_the_stack_is_restored_after_an_error() -> None:
    from weft.ops import interpreter_stack

    before = interpreter_stack()
    with pytest.raises(ZeroDivisionError):
        grad(lambda x: wf.func.vmap(lambda y: y * (1 / 0))(x).sum())(wf.ones(2))
    assert interpreter_stack() == before
    assert wf.is_grad_enabled()
