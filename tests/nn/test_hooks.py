"""Hooks of tensors and modules: the same calls, values and replacements as in PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import weft as wf
from weft.devices import Device
from weft.errors import ArgumentTypeError, GradError, ShapeError, UnsupportedError


def both(program: Any, device: str = "cpu") -> None:
    """A program run with each library logs the same."""
    logs: list[list[Any]] = []
    for lib in (wf, torch):
        log: list[Any] = []

        def tensor(values: Any, lib: Any = lib, grad: bool = True) -> Any:
            return lib.tensor(values, requires_grad=grad, **({"device": device} if lib is wf else {}))

        program(lib, tensor, log)
        logs.append(log)
    assert logs[0] == logs[1]
    assert logs[0]


def test_hooks_of_leaves_and_of_computed_tensors(device: Device) -> None:
    def program(lib: Any, tensor: Any, log: list[Any]) -> None:
        x = tensor([1.0, 2.0])
        y = x * 3
        y.retain_grad()
        y.register_hook(lambda grad: log.append(("y", grad.tolist())))
        handle = y.register_hook(lambda grad: grad * 2)
        x.register_hook(lambda grad: log.append(("x", grad.tolist())))
        x.register_hook(lambda grad: grad + 1)
        x.register_post_accumulate_grad_hook(lambda leaf: log.append(("after", leaf.grad.tolist())))
        (y * y + x).sum().backward()
        log += [x.grad.tolist(), y.grad.tolist()]
        handle.remove()
        handle.remove()
        (x * 3).sum().backward()
        log.append(x.grad.tolist())
        (found,) = lib.autograd.grad((x * 5).sum(), x)
        log.append(found.tolist())

    both(program, device.name)


def test_a_gradient_that_a_hook_keeps_is_not_overwritten() -> None:
    def program(lib: Any, tensor: Any, log: list[Any]) -> None:
        x = tensor([1.0, 2.0])
        kept: list[Any] = []
        x.register_hook(kept.append)
        for _ in range(3):
            (x * x).sum().backward()
        log += [grad.tolist() for grad in kept]

    both(program)


def test_module_hooks_run_in_order_and_replace(device: Device) -> None:
    def program(lib: Any, tensor: Any, log: list[Any]) -> None:
        layer = lib.nn.Sequential(lib.nn.Identity(), lib.nn.Tanh())
        layer.register_forward_pre_hook(lambda m, args: log.append(("pre 1", args[0].tolist())))
        layer.register_forward_pre_hook(lambda m, args: args[0] * 0, prepend=True)
        layer.register_forward_pre_hook(lambda m, args, kwargs: (args, kwargs), with_kwargs=True)
        layer.register_forward_hook(lambda m, args, out: out + 1)
        layer.register_forward_hook(lambda m, args, out: log.append(("out", out.tolist(), args[0].tolist())))
        last = layer.register_forward_hook(
            lambda m, args, kwargs, out: log.append(sorted(kwargs)), with_kwargs=True
        )
        log.append(layer(tensor([1.0, 2.0])).tolist())
        last.remove()
        log.append(layer(tensor([1.0, 2.0])).tolist())

    both(program, device.name)


def test_full_backward_hooks(device: Device) -> None:
    def program(lib: Any, tensor: Any, log: list[Any]) -> None:
        class Both(lib.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, a: Any, n: int, b: Any) -> Any:
                return a * b * n, a + b

        def note(name: str) -> Any:
            def hook(module: Any, *grads: Any) -> None:
                log.append((name, [[None if g is None else g.tolist() for g in part] for part in grads]))

            return hook

        module = Both()
        module.register_full_backward_hook(note("full"))
        module.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2, None, gi[2]))
        module.register_full_backward_pre_hook(note("pre"))
        module.register_full_backward_pre_hook(lambda m, go: (go[0] + 1, go[1]))
        a, b = tensor([1.0, 2.0]), tensor([3.0, 4.0])
        p, q = module(a, 2, b)
        (p * p + q).sum().backward()
        log += [a.grad.tolist(), b.grad.tolist()]
        p, q = module(a.detach(), 2, b)
        module2 = lib.nn.Tanh()
        module2.register_full_backward_hook(note("no input"))
        module2(tensor([0.0], grad=False))
        module2(tensor([0.0])).sum().backward()

    both(program, device.name)


def test_backward_hooks_refuse_a_forward_in_place() -> None:
    layer = wf.nn.ReLU(inplace=True)
    layer.register_full_backward_hook(lambda *_: None)
    x = wf.tensor([1.0, -1.0], requires_grad=True, device="cpu") * 2
    with pytest.raises(UnsupportedError, match="ReLU: forward changed its input in place"):
        layer(x)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: x.register_hook(3), ArgumentTypeError, "register_hook: hook is a int, expected a function"),
        (lambda x: x.detach().register_hook(print), GradError, "without requires_grad"),
        (lambda x: (x * 2).register_post_accumulate_grad_hook(print), GradError, "expected a leaf"),
        (lambda x: (x.register_hook(lambda g: g[:1]), (x * 2).sum().backward()), ShapeError, r"float32\[1\], expected float32\[2\]"),
        (lambda x: (x.register_hook(lambda g: 1.0), (x * 2).sum().backward()), ArgumentTypeError, "a float, expected a tensor or None"),
        (lambda x: wf.nn.Identity().register_forward_hook(print, always_call=True), UnsupportedError, "always_call is True"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call(wf.tensor([1.0, 2.0], requires_grad=True, device="cpu"))
