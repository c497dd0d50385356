"""Random programs of views and in-place writes, run side by side in PyTorch: values, errors, histories, gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

import weft as wf
from tests.ops.arrays import from_weft, to_weft

Action = Callable[["Program"], bool]


@dataclass
class Program:
    """Pairs of tensors, ours and PyTorch's, that went through the same steps."""

    draw: st.DrawFn
    device: str
    pairs: list[tuple[Any, torch.Tensor]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    target: torch.Tensor = field(default_factory=lambda: torch.zeros(1))
    """PyTorch's tensor of the present step."""

    def pick(self) -> tuple[Any, torch.Tensor]:
        return self.draw(st.sampled_from(self.pairs))

    def both(self, what: str, call: Callable[[Any], Any], keep: bool = True) -> None:
        """Run a step on one pair; both libraries refuse it, or both do it."""
        at = self.draw(st.integers(0, len(self.pairs) - 1))
        self.log.append(f"{what} of {at}")
        ours, theirs = self.pairs[at]
        self.target = theirs
        try:
            expected = call(theirs)
        except (RuntimeError, IndexError, ValueError) as error:
            # PyTorch refuses to write where operands overlap; weft defines it: old values are read
            if "overlap" in str(error) or "single memory location" in str(error):
                self.log[-1] += " (not done: overlap)"
                return
            before = [from_weft(mine).copy() for mine, _ in self.pairs]
            with pytest.raises((RuntimeError, IndexError, ValueError)):
                call(ours)
            for (mine, _), value in zip(self.pairs, before, strict=True):
                np.testing.assert_array_equal(from_weft(mine), value)
            self.log[-1] += " (refused)"
            return
        got = call(ours)
        assert tuple(got.shape) == tuple(expected.shape), self.log
        assert got.requires_grad == expected.requires_grad, self.log
        if keep:
            self.pairs.append((got, expected))

    def operand(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        count = int(np.prod(shape, dtype=int))
        start = self.draw(st.integers(0, 5))
        return ((np.arange(count) + start) % 5 - 2.0).reshape(shape).astype("float32")


def like(tensor: Any, values: np.ndarray[Any, Any]) -> Any:
    """The values as a tensor of the library and device of ``tensor``."""
    return torch.tensor(values) if isinstance(tensor, torch.Tensor) else to_weft(values, str(tensor.device))


def view_step(program: Program) -> None:
    draw = program.draw
    kind = draw(
        st.sampled_from(
            ["permute", "slice", "select", "unsqueeze", "narrow", "reshape", "expand", "t", "detach"]
        )
    )
    a, b, c = (draw(st.integers(0, 3)) for _ in range(3))

    def call(x: Any) -> Any:
        rank = len(x.shape)
        if kind == "permute":
            return x.permute(*[(d + a) % rank for d in range(rank)]) if rank else x.reshape(())
        if kind == "slice":
            return x[a:] if not rank else x[..., b % 2 :: c + 1]
        if kind == "select":
            return x[a % 2]
        if kind == "unsqueeze":
            return x.unsqueeze(min(a, rank))
        if kind == "narrow":
            return x.narrow(a % max(rank, 1), b % 2, 1)
        if kind == "reshape":
            return x.reshape(-1)
        if kind == "expand":
            return x.expand(2, *x.shape)
        return x.t() if kind == "t" else x.detach()

    program.both(kind, call)


def write_step(program: Program) -> None:
    draw = program.draw
    kind = draw(
        st.sampled_from(
            ["add", "mul", "copy", "fill", "set", "relu", "mul_tensor", "add_self", "zero", "exp"]
        )
    )
    number = draw(st.sampled_from([2.0, -0.5, 3.0]))
    values = program.operand((1,))
    other = draw(st.integers(0, len(program.pairs) - 1))

    def call(x: Any) -> Any:
        if kind == "add":
            return x.add_(number)
        if kind == "mul":
            return x.mul_(number)
        if kind == "copy":
            return x.copy_(like(x, values))
        if kind in ("fill", "zero"):
            return x.fill_(number) if kind == "fill" else x.zero_()
        if kind == "relu":
            return x.relu_()
        if kind == "exp":
            return x.mul_(0.125).exp_()
        if kind == "set":
            x[..., :1] = like(x, values) if x.shape else number
            return x
        operand, theirs = program.pairs[other]
        if isinstance(x, torch.Tensor):
            operand = theirs
        # Where memory is shared PyTorch refuses, or reads what it has just written; a copy has the old values, which
        # weft reads without one. (It refuses to go backward then: the operand has changed.)
        shared = theirs.untyped_storage().data_ptr() == program.target.untyped_storage().data_ptr()
        if shared and (isinstance(x, torch.Tensor) or program.pairs[0][1].requires_grad):
            operand = operand.clone()
        return x.mul_(operand) if kind == "mul_tensor" else x.add_(operand)

    program.both(f"{kind}_ ({number}, {other})", call, keep=False)


def compute_step(program: Program) -> None:
    kind = program.draw(st.sampled_from(["square", "double", "exp", "clone"]))

    def call(x: Any) -> Any:
        if kind == "square":
            return x * x
        if kind == "exp":
            return (x * 0.125).exp()
        return x * 2 if kind == "double" else x.clone()

    program.both(kind, call)


STEPS: tuple[Callable[[Program], None], ...] = (view_step, view_step, write_step, write_step, compute_step)


def finish(program: Program, leaf: Any, their_leaf: torch.Tensor) -> None:
    """All values agree; then the gradients of a weighted sum of everything, or both refuse to go backward."""
    for at, (mine, theirs) in enumerate(program.pairs):
        np.testing.assert_allclose(
            from_weft(mine), theirs.detach().numpy(), rtol=1e-5, err_msg=f"{at}: {program.log}"
        )
    wanted = [at for at, (_, other) in enumerate(program.pairs) if other.requires_grad and at]
    if not wanted:
        return
    totals = []
    for side in (0, 1):
        total: Any = 0.0
        for at in wanted:
            total = total + program.pairs[at][side].sum() * float(at)
        totals.append(total)
    refused = ""
    try:
        totals[1].backward()
    except RuntimeError as error:
        refused = str(error)
    if refused:
        assert "modified by an inplace operation" in refused, f"{refused} {program.log}"
        with pytest.raises(wf.errors.GradError, match="modified by an in-place operation"):
            totals[0].backward()
        return
    totals[0].backward()
    if their_leaf.grad is not None:
        assert leaf.grad is not None, program.log
        expected = their_leaf.grad.numpy()
        bound = 1e-5 * max(1.0, float(np.abs(np.nan_to_num(expected, posinf=0, neginf=0)).max(initial=0)))
        np.testing.assert_allclose(
            from_weft(leaf.grad), expected, rtol=1e-4, atol=bound, err_msg=str(program.log)
        )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_programs_of_views_and_writes_equal_torch(device: Any, data: st.DataObject) -> None:
    host = (np.arange(12) % 7 - 3.0).reshape(3, 4).astype("float32")
    requires_grad = data.draw(st.booleans())
    leaf, their_leaf = (
        to_weft(host, device.name, requires_grad),
        torch.tensor(host, requires_grad=requires_grad),
    )
    program = Program(data.draw, device.name, [(leaf, their_leaf), (leaf * 1, their_leaf * 1)])
    for _ in range(data.draw(st.integers(1, 8))):
        data.draw(st.sampled_from(STEPS))(program)
    finish(program, leaf, their_leaf)


def test_a_write_that_overlaps_reads_the_old_values(device: Any) -> None:
    x = wf.arange(6, dtype=wf.float32, device=device.name)
    x[1:].add_(x[:-1])
    assert x.tolist() == [0, 1, 3, 5, 7, 9]
    x[:-1].copy_(x[1:])
    assert x.tolist() == [1, 3, 5, 7, 9, 9]
    y = wf.arange(4, dtype=wf.float32, device=device.name).reshape(2, 2)
    y.mul_(y.t())
    assert y.tolist() == [[0, 2], [2, 9]]
    z = wf.arange(4, dtype=wf.float32, device=device.name)
    z.sub_(z[1])
    assert z.tolist() == [-1, 0, 1, 2]


def test_an_expanded_target_is_refused(device: Any) -> None:
    x = wf.zeros(1, 3, device=device.name)
    wide = x.expand(2, 3)
    for write in (
        lambda: wide.add_(1),
        lambda: wide[:].mul_(2),
        lambda: wide.copy_(wf.ones(2, 3, device=device.name)),
    ):
        with pytest.raises(wf.errors.ShapeError, match=r"single memory location.*clone"):
            write()
    assert x.tolist() == [[0, 0, 0]]


def test_leaves_that_require_grad_are_not_written(device: Any) -> None:
    x = wf.ones(3, device=device.name, requires_grad=True)
    for write in (lambda: x.add_(1), lambda: x[0].fill_(2), lambda: x.zero_(), lambda: x[:2].mul_(x[1:])):
        with pytest.raises(wf.errors.GradError, match=r"leaf.*no_grad"):
            write()
    assert x.tolist() == [1, 1, 1]
    with wf.no_grad():
        x.add_(1)
    assert x.tolist() == [2, 2, 2]
    assert x.is_leaf


def test_a_view_made_without_grad_is_not_written_with_it(device: Any) -> None:
    x = wf.ones(3, device=device.name, requires_grad=True) * 1
    with wf.no_grad():
        y = x[1:]
    with pytest.raises(wf.errors.GradError, match="no_grad"):
        y.mul_(2)
    assert x.tolist() == [1, 1, 1]


def test_setitem_broadcasts_and_converts(device: Any) -> None:
    x = wf.zeros(3, 4, device=device.name)
    x[1] = 2
    x[:, ::2] = wf.tensor([[1], [2], [3]], device=device.name)
    x[2, 3] = wf.tensor(7, device=device.name)
    x[0, 1:3] = [5, 6]
    expected = torch.zeros(3, 4)
    expected[1] = 2
    expected[:, ::2] = torch.tensor([[1.0], [2], [3]])
    expected[2, 3] = 7
    expected[0, 1:3] = torch.tensor([5.0, 6])
    assert x.tolist() == expected.tolist()
    with pytest.raises(wf.errors.ShapeError):
        x[0] = wf.ones(3, device=device.name)
    assert x.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(1, None),
        (0, 1),
        (..., 0),
        (None, 1),
        (slice(None), None, slice(0, 3, 2)),
        (Ellipsis,),
        (1, ..., -1, None),
    ],
)
def test_basic_indexing_equals_torch(device: Any, index: Any) -> None:
    host = np.arange(24, dtype="float32").reshape(2, 3, 4)
    np.testing.assert_array_equal(
        from_weft(to_weft(host, device.name)[index]), torch.tensor(host)[index].numpy()
    )


def test_versions_count_writes(device: Any) -> None:
    x = wf.ones(3, device=device.name, requires_grad=True)
    y = x * 2
    z = y * y
    y[0].add_(1)
    with pytest.raises(wf.errors.GradError, match=r"mul: .*modified by an in-place operation.*clone\(\)"):
        z.sum().backward()
    assert x.grad is None
