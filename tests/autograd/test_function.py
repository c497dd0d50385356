"""``autograd.Function`` beside PyTorch's: the same classes, written once, run by both."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch

import weft as wf
from weft import errors


def cube(lib: Any) -> Any:
    class Cube(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, power: int) -> Any:
            out = x**power
            ctx.save_for_backward(x, out)
            ctx.power = power
            return out

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            x, out = ctx.saved_tensors
            assert ctx.needs_input_grad == (True, False)
            return grad * ctx.power * out / x, None

    return Cube


def pair(lib: Any) -> Any:
    class Pair(lib.autograd.Function):
        @staticmethod
        def forward(x: Any, y: Any) -> Any:
            return x * y, (x > y).float(), x - y

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)
            ctx.mark_non_differentiable(output[1])

        @staticmethod
        def backward(ctx: Any, product: Any, larger: Any, difference: Any) -> Any:
            assert larger.shape == product.shape
            assert not larger.any()
            x, y = ctx.saved_tensors
            return product * y + difference, product * x - difference

    return Pair


def values(lib: Any, device: str) -> Any:
    kwargs = {"device": device} if lib is wf else {}
    x = lib.tensor([1.5, -2.0, 3.0], requires_grad=True, **kwargs)
    return x, lib.tensor([0.5, 1.0, 4.0], requires_grad=True, **kwargs)


def test_values_and_gradients_as_pytorch(device: Any) -> None:
    found = {}
    for lib in (torch, wf):
        x, y = values(lib, device.name)
        out = cube(lib).apply(x, 3)
        product, larger, difference = pair(lib).apply(out, y)
        assert product.requires_grad
        assert not larger.requires_grad
        ((product * 2).sum() + difference.sum()).backward()
        found[lib] = [t.detach().numpy() for t in (out, product, larger, difference, x.grad, y.grad)]
    for ours, theirs in zip(found[wf], found[torch], strict=True):
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_gradients_of_gradients_flow_through_saved_tensors() -> None:
    found = {}
    for lib in (torch, wf):
        x, _ = values(lib, "cpu")
        (first,) = lib.autograd.grad(cube(lib).apply(x, 3).sum(), x, create_graph=True)
        (second,) = lib.autograd.grad(first.sum(), x, create_graph=True)
        (third,) = lib.autograd.grad(second.sum(), x)
        found[lib] = [t.detach().numpy() for t in (first, second, third)]
    for ours, theirs in zip(found[wf], found[torch], strict=True):
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_missing_gradients_are_none_where_asked() -> None:
    seen: dict[Any, list[Any]] = {torch: [], wf: []}
    for lib in (torch, wf):
        log = seen[lib]

        class Split(lib.autograd.Function):  # type: ignore[name-defined,misc]
            @staticmethod
            def forward(ctx: Any, x: Any, log: Any = log) -> Any:
                ctx.set_materialize_grads(False)
                return x + 1, x + 2

            @staticmethod
            def backward(ctx: Any, a: Any, b: Any, log: Any = log) -> Any:
                log.append((a is None, b is None))
                return b

        x, _ = values(lib, "cpu")
        Split.apply(x)[1].sum().backward()
    assert seen[wf] == seen[torch] == [(True, False)]


def test_once_differentiable() -> None:
    from weft.autograd.function import once_differentiable

    class Square(wf.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    x, _ = values(wf, "cpu")
    Square.apply(x).sum().backward()
    assert x.grad.tolist() == [3, -4, 6]
    seed = wf.ones(3, device="cpu", requires_grad=True)
    (first,) = wf.autograd.grad(Square.apply(x), x, seed, create_graph=True)
    assert first.tolist() == [3, -4, 6]
    with pytest.raises(
        errors.GradError, match=r"backward is marked once_differentiable and is differentiated a second"
    ):
        first.sum().backward()


def simple(backward: Any, forward: Any = None) -> Any:
    body = {
        "forward": staticmethod(forward or (lambda ctx, x: x * 2)), "backward": staticmethod(backward),
    }  # fmt: skip
    return type("Simple", (wf.autograd.Function,), body)


@pytest.mark.parametrize(
    ("backward", "kind", "message"),
    [
        (
            lambda ctx, g: (g, g),
            errors.GradError,
            "the result is 2 gradients, expected 1, one for each argument",
        ),
        (
            lambda ctx, g: g.sum(),
            errors.ShapeError,
            r"gradient 0 is of shape \(\), expected \(3,\), the shape of argument 0",
        ),
        (lambda ctx, g: 1.0, errors.GradError, "gradient 0 is float, expected a Tensor or None"),
    ],
)
def test_what_backward_gives_is_checked(backward: Any, kind: type, message: str) -> None:
    x, _ = values(wf, "cpu")
    out = simple(backward).apply(x).sum()
    with pytest.raises(kind, match=rf"Simple\.backward: {message}"):
        out.backward()


def test_mistakes_of_forward() -> None:
    x, _ = values(wf, "cpu")
    give = lambda ctx, g: g  # noqa: E731
    with pytest.raises(
        errors.ArgumentTypeError, match=r"Simple\.forward: output 0 is float, expected a Tensor"
    ):
        simple(give, lambda ctx, x: 1.0).apply(x)
    with pytest.raises(errors.GradError, match="argument 0 was changed in place"):
        simple(give, lambda ctx, x: x.detach().mul_(2)).apply(x)
    with pytest.raises(errors.ArgumentTypeError, match=r"save_for_backward: tensors\[0\] is int"):
        simple(give, lambda ctx, x: ctx.save_for_backward(1)).apply(x)
    with pytest.raises(errors.ArgumentTypeError, match=r"call Simple\.apply"):
        simple(give)()
    with pytest.raises(errors.UnsupportedError, match="mark_dirty"):
        simple(give, lambda ctx, x: ctx.mark_dirty(x)).apply(x)


def test_saved_tensors_that_changed_or_were_freed() -> None:
    x, _ = values(wf, "cpu")
    middle = x * 1
    out = cube(wf).apply(middle, 2)
    middle.add_(1)
    with pytest.raises(errors.GradError, match=r"CubeBackward: a tensor .* modified by an in-place"):
        out.sum().backward()
    out = cube(wf).apply(x, 2).sum()
    out.backward()
    with pytest.raises(errors.GradError, match="a second time"):
        out.backward()


def test_nothing_is_recorded_where_nothing_requires_grad() -> None:
    x = wf.ones(3, device="cpu")
    assert simple(lambda ctx, g: g).apply(x).grad_fn is None
    leaf = wf.ones(3, device="cpu", requires_grad=True)
    with wf.no_grad():
        assert not simple(lambda ctx, g: g).apply(leaf).requires_grad
    same = simple(lambda ctx, g: 5 * g, lambda ctx, x: x).apply(leaf)  # an argument handed through
    assert same is not leaf
    same.sum().backward()
    assert leaf.grad.tolist() == [5, 5, 5]
    assert same.grad_fn.name == "SimpleBackward"
