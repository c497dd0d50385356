"""Every op of the table states its rules, and the packages of the transforms implement each named rule."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import weft.control  # declares ops of its own
from weft.codegen.llvm import library as llvm
from weft.codegen.wgsl import library as wgsl
from weft.func.forward_rules import TANGENTS
from weft.func.rules import BATCHING
from weft.graph.plan.work import LIBRARY
from weft.ops import OPS, OpSpec
from weft.ops.registry.rules import NONE, Rules
from weft.tensors.splitting.rules import SPLITTING

assert weft.control
NAMES = sorted(OPS)


def described(op: OpSpec) -> Rules:
    assert op.rules is not NONE or op.fused, "rules= is missing where the op is declared"
    return op.rules


@pytest.mark.parametrize("name", NAMES)
def test_every_op_states_its_rules(name: str) -> None:
    op = OPS[name]
    rules = described(op)
    if not op.fused:  # vmap is given the ops that it stands for
        assert bool(rules.batching) != bool(rules.unbatched), "a batching rule, or what to do instead"
    assert not rules.batching or rules.batching in BATCHING
    assert not rules.splitting or rules.splitting in SPLITTING
    assert rules.tangent in TANGENTS
    assert rules.partition in ("", "cheap", "fold")
    assert rules.precision in ("", "lower", "float32")


@pytest.mark.parametrize("name", NAMES)
def test_rules_agree_with_what_the_op_is(name: str) -> None:
    op = OPS[name]
    if op.random or "update" in op.info:
        assert op.rules.partition != "cheap", "a second draw or step would be another"
    if op.view is not None:
        assert (op.rules.batching, op.rules.tangent, op.rules.partition) == ("view", "linear", "cheap")
    if "pointwise" in op.info:
        assert (op.rules.batching, op.rules.tangent, op.rules.partition) == (
            "pointwise",
            "pointwise",
            "cheap",
        )
    if op.rules.tangent not in ("transposed", "pointwise"):
        assert op.gradient is not None, "what is linear has a gradient"


def test_every_rule_is_some_ops() -> None:
    assert {op.rules.batching for op in OPS.values()} - {""} == set(BATCHING)
    assert {op.rules.splitting for op in OPS.values()} - {""} == set(SPLITTING)
    assert {op.rules.tangent for op in OPS.values()} == set(TANGENTS)


def test_every_library_kernel_says_what_work_it_is() -> None:
    names = {module.name for module in pkgutil.iter_modules([*llvm.__path__, *wgsl.__path__])}
    assert names == {*LIBRARY, "attention"}


ADDED = """
import numpy, weft as wf
from weft.ops import bind
x = wf.tensor(numpy.arange(24, dtype="float32").reshape(2, 3, 4), device="cpu")
total = lambda x: bind(TOTAL, x, dims=(1,), keepdim=False)
expected = x.numpy()
assert (wf.func.vmap(total)(x).numpy() == expected.sum(2)).all()
out, tangent = wf.func.jvp(total, (x,), (x,))
assert (out.numpy() == expected.sum(1)).all() and (tangent.numpy() == expected.sum(1)).all()
assert (wf.func.grad(lambda x: total(x).sum())(x).numpy() == 1).all()
assert (wf.jit(lambda x: total(x * x))(x).numpy() == (expected * expected).sum(1)).all()
"""


def test_a_reduction_is_one_declaration() -> None:
    text = Path("CONTRIBUTING.md").read_text()
    (block,) = (
        part for part in re.findall(r"```python\n(.*?)```", text, re.S) if "declare_reduction" in part
    )
    done = subprocess.run([sys.executable, "-c", block + ADDED], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
