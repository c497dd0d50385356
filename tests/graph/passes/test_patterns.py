"""``patterns``: each written-out group becomes its op, only where no other node reads its intermediate values."""

from __future__ import annotations

import pytest

import weft as wf
import weft.nn.functional as F
from tests.graph.passes.checking import ops, passed, values
from weft.compiler import trace
from weft.graph.passes import patterns, run
from weft.target import CPU

X, W = values(2, 3, 4), values(4, seed=1)


def softmax(x, dim=-1):
    powers = (x - x.amax(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True)


def layer_norm(x, w, b):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * w + b


def layer_norm_by_var(x, w, b):
    inverse = 1.0 / wf.sqrt(x.var(-1, correction=0, keepdim=True) + 1e-5)
    return b + w * ((x - x.mean(-1).unsqueeze(-1)) * inverse)


ROWS = {
    "softmax": (softmax, ["softmax"]),
    "softmax by max": (lambda x, w: _by_max(x), ["softmax"]),
    "softmax, dimensions put back": (lambda x, w: _reshaped(x), ["softmax"]),
    "softmax of the middle": (lambda x, w: softmax(x, 1), ["softmax"]),
    "exp over its sum stays": (lambda x, w: x.exp() / x.exp().sum(-1, keepdim=True), ["exp", "sum", "div"]),
    "softmax whose powers are read": (lambda x, w: _read(x), ["amax", "sub", "exp", "sum", "div"]),
    "softmax across another dimension stays": (lambda x, w: _across(x), ["amax", "sub", "exp", "sum", "div"]),
    "log_softmax": (lambda x, w: x - x.logsumexp(-1, keepdim=True), ["log_softmax"]),
    "log_softmax in full": (lambda x, w: _log(x), ["log_softmax"]),
    "rms norm": (lambda x, w: w * (x * wf.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)), ["reshape", "norm"]),
    "rms norm by sqrt": (lambda x, w: x / ((x * x).mean(-1, keepdim=True) + 1e-6).sqrt(), ["norm"]),
    "layer norm": (lambda x, w: layer_norm(x, w, w), ["reshape", "norm"]),
    "layer norm by var": (lambda x, w: layer_norm_by_var(x, w, w), ["reshape", "norm"]),
    "unbiased variance stays": (lambda x, w: (x - x.mean(-1, True)) / (x.var(-1, keepdim=True) + 0.1).sqrt(), ["mean", "sub", "var_mean", "add", "sqrt", "div"]),
    "transposed product": (lambda x, w: (x[0] @ x[1].t()).t(), ["slice", "reshape", "slice", "reshape", "permute", "matmul"]),
    "pieces": (lambda x, w: _split_gradient(x, (1, 1, 2)), ["slice", "exp", "slice", "slice", "cos", "cat", "add"]),
}  # fmt: skip


def _by_max(x):
    powers = wf.exp(x - x.max(-1, keepdim=True)[0])
    return powers / powers.sum(-1, keepdim=True)


def _reshaped(x):
    powers = wf.exp(x - x.amax(-1).unsqueeze(-1))
    return powers / powers.sum(-1).unsqueeze(-1)


def _read(x):
    powers = (x - x.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True), powers


def _across(x):
    powers = (x - x.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(1, keepdim=True)


def _log(x):
    shifted = x - x.amax(-1, keepdim=True)
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


def _split_gradient(x, sizes):
    x = x.detach().requires_grad_()
    a, b, c = x.split(sizes, -1)
    return wf.autograd.grad(a.exp().sum() + (b * 2).sum() + c.sin().sum(), x)[0]


@pytest.mark.parametrize("name", ROWS)
def test_a_group_becomes_its_op(name: str) -> None:
    program, expected = ROWS[name]
    arguments = (X, W) if program is not softmax else (X,)
    graph = passed(lambda graph: run(graph, CPU), program, *arguments, rtol=1e-5)
    if name == "pieces":
        assert "cat" in ops(graph) and "update_view" not in ops(graph)
    else:
        assert sorted(ops(graph)) == sorted(expected)


def test_log_softmax_and_nll_are_cross_entropy_with_its_gradient() -> None:
    target = wf.tensor([0, 2, -100, 1], device="cpu")

    def program(x):
        x = x.detach().requires_grad_()
        loss = F.nll_loss(F.log_softmax(x, 1), target, reduction="sum")
        return loss, *wf.autograd.grad(loss, x)

    graph = passed(lambda graph: run(graph, CPU), program, values(4, 3), rtol=1e-5)
    assert ops(graph) == ["cross_entropy", "sum", "full", "cross_entropy_backward"]


def test_log_probabilities_that_are_wanted_are_kept() -> None:
    target = wf.tensor([0, 2], device="cpu")

    def program(x):
        logs = F.log_softmax(x, 1)
        return F.nll_loss(logs, target, reduction="none"), logs

    assert ops(passed(patterns, program, values(2, 3))) == ["log_softmax", "nll"]


def test_pieces_that_leave_a_gap_or_overlap() -> None:
    def gradient(read):
        def program(x):
            x = x.detach().requires_grad_()
            return wf.autograd.grad(read(x), x)[0]

        return ops(passed(lambda graph: run(graph, CPU), program, values(6), rtol=1e-6))

    assert gradient(lambda x: (x[1:3].exp() * x[3:5]).sum()).count("cat") == 1
    assert gradient(lambda x: (x[:2].exp() * x[4:]).sum()).count("cat") == 1  # with zeros between them
    assert "cat" not in gradient(lambda x: (x[:4].exp() * x[2:]).sum())


def test_pieces_that_a_program_adds_up_are_joined() -> None:
    def sum_of(*places):
        def program(x):
            total = None
            for start, stop in places:
                piece = wf.zeros(6, device="cpu")
                piece[start:stop] = x[start:stop].exp()
                total = piece if total is None else total + piece
            return total

        return ops(passed(lambda graph: run(graph, CPU), program, values(6), rtol=1e-6))

    assert "cat" in sum_of((1, 3), (3, 5))  # then placed into zeros
    assert "cat" not in sum_of((0, 2), (4, 6))
    assert "cat" not in sum_of((0, 4), (2, 6))


def test_steps_read_one_by_one_have_one_gradient() -> None:
    def program(x):
        x = x.detach().requires_grad_()
        state = x[0]
        for step in range(1, 8):
            state = (state * 0.5 + x[step]).tanh()
        return wf.autograd.grad(state.sum(), x)[0]

    found = ops(passed(lambda graph: run(graph, CPU), program, values(8, 3), rtol=1e-5))
    assert found.count("cat") == 1 and "update_view" not in found


Q, K, V = values(2, 3, 5, 8, seed=2), values(2, 3, 7, 8, seed=3), values(2, 3, 7, 4, seed=4)
SEEN, ADDED = values(5, 7, seed=5) > 0, values(2, 1, 5, 7, seed=6)


def by_hand(x):
    powers = (x - x.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


MIXED = {
    "plain": (lambda q, k, v: (q @ k.transpose(-2, -1)).softmax(-1) @ v, 0),
    "scaled": (lambda q, k, v: wf.softmax(q @ k.transpose(-2, -1) / 8**0.5, -1) @ v, 0),
    "scaled queries": (lambda q, k, v: wf.softmax((q * 0.3) @ k.transpose(-2, -1), -1) @ v, 0),
    "everything by hand": (lambda q, k, v: by_hand((0.3 * q) @ k.permute(0, 1, 3, 2)) @ v, 0),
    "an added mask": (lambda q, k, v: wf.softmax((q @ k.transpose(-2, -1)) * 0.3 + ADDED, -1) @ v, 1),
    "what is seen": (lambda q, k, v: wf.softmax(wf.where(SEEN, q @ k.mT * 0.3, -float("inf")), -1) @ v, 1),
    "what is hidden": (lambda q, k, v: (q @ k.mT).masked_fill(SEEN, -float("inf")).softmax(-1) @ v, 1),
    "without heads": (lambda q, k, v: wf.softmax(q[0] @ k[0].mT, -1) @ v[0], 0),
    "one head": (lambda q, k, v: wf.softmax(q[0, 0] @ k[0, 0].mT, -1) @ v[0, 0], 0),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXED)
def test_attention_written_out_is_the_op(name: str) -> None:
    program, masks = MIXED[name]
    graph = passed(lambda graph: run(graph, CPU), program, Q, K, V, rtol=2e-6)
    found = [node for node in graph.nodes if node.op == "attention"]
    assert len(found) == 1 and len(found[0].inputs) == 3 + masks
    assert "softmax" not in ops(graph) and "matmul" not in ops(graph)


KEPT = {
    "weights that are read": lambda q, k, v: _weights(q, k, v),
    "another dimension": lambda q, k, v: wf.softmax(q @ k.mT, -2) @ v,
    "a mask below zero": lambda q, k, v: wf.softmax(wf.where(SEEN, q @ k.mT, -1e9), -1) @ v,
    "a mask that is scaled": lambda q, k, v: wf.softmax((q @ k.mT + ADDED) * 0.3, -1) @ v,
    "a wider mask": lambda q, k, v: wf.softmax(q[:1] @ k[:1].mT + ADDED, -1) @ v,
    "dropout": lambda q, k, v: F.dropout(wf.softmax(q @ k.mT, -1), 0.5) @ v,
}


def _weights(q, k, v):
    weights = wf.softmax(q @ k.mT, -1)
    return weights @ v, weights


@pytest.mark.parametrize("name", KEPT)
def test_other_programs_are_not_attention(name: str) -> None:
    graph = trace(KEPT[name], Q, K, V).graph
    assert "attention" not in ops(run(graph, CPU))
