"""A target that no module of weft names: passes, kernel choices and plans ask its capabilities, never its dialect.

It is a machine of threads, as ``cpu`` is, whose products take epilogues, whose kernels bind eight buffers, and that has
no library of products. Its generator writes what the processor runs, so that its plans can be run here. A second one
has workgroups and a generator that lists kernels instead of writing them.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings

import weft as wf
from tests.graph.programs import Program, programs
from tests.graph.test_plans import compare
from weft import devices
from weft.codegen import GENERATORS, generate
from weft.codegen.llvm import LlvmGenerator
from weft.compiler import trace
from weft.errors import ArgumentError, KernelError
from weft.graph.pipeline import compile_graph
from weft.kernels import Kernel, Library
from weft.target import BROWSER, CPU, Binding, Capabilities, KernelSpec, TargetProfile

THREADS = TargetProfile(
    "third", frozenset({"int64", "float64"}),
    stated=Capabilities("third", workgroups=False, epilogues=False, narrow_stores=True, read_bindings=True,
                        storage_buffers=6),
)  # fmt: skip
GROUPS = TargetProfile(
    "fourth", frozenset({"int64"}), {"max-compute-workgroups-per-dimension": 65535},
    stated=Capabilities("listing", workgroups=True, epilogues=True, narrow_stores=True, read_bindings=False,
                        storage_buffers=5),
)  # fmt: skip


class Third:
    """What the processor runs, under another language's name."""

    def __init__(self, profile: TargetProfile) -> None:
        assert profile is not CPU
        self.writer = LlvmGenerator(CPU)

    def generate(self, kernel: Kernel | Library) -> KernelSpec:
        """Generate the kernel for ``cpu``."""
        return self.writer.generate(kernel)


class Listing:
    """A kernel's text is its representation."""

    def __init__(self, profile: TargetProfile) -> None:
        self.profile = profile

    def generate(self, kernel: Kernel | Library) -> KernelSpec:
        """A specification that no device runs."""
        if isinstance(kernel, Library):
            raise KernelError(f"no {kernel.name} here")
        read = [buffer for buffer in kernel.buffers if buffer.access == "read"]
        write = [buffer for buffer in kernel.buffers if buffer.access != "read"]
        sides = [
            tuple(Binding(value.name, value.dtype, value.access) for value in group)
            for group in (read, write)
        ]
        return KernelSpec(
            kernel.name, "listing", (), sides[0], sides[1], (64, 1, 1), ("1", "1", "1"), repr(kernel),
            kernel.reports,
        )  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _generators() -> object:
    GENERATORS.update(third=lambda: Third, listing=lambda: Listing)
    yield
    del GENERATORS["third"], GENERATORS["listing"]
    generate.cache_clear()


@settings(max_examples=25)
@given(programs())
def test_plans_for_an_invented_target_equal_eager_programs(program: Program) -> None:
    compare(program, devices.open("cpu"), THREADS)


def test_a_training_step_is_planned_and_written_for_an_invented_target() -> None:
    model = wf.nn.Sequential(wf.nn.Linear(4, 8), wf.nn.GELU(), wf.nn.LayerNorm(8), wf.nn.Linear(8, 3))
    model.to("cpu")
    optimizer = wf.optim.Adam(model.parameters(), lr=0.01)

    def step(x: wf.Tensor, y: wf.Tensor) -> wf.Tensor:
        optimizer.zero_grad()
        loss = wf.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    graph = trace(step, wf.ones(5, 4, device="cpu"), wf.ones(5, 3, device="cpu")).graph
    dispatches = list(compile_graph(graph, THREADS).dispatches())
    for dispatch in dispatches:
        assert dispatch.spec.language == "llvm"
        assert len(dispatch.places) + dispatch.spec.reports <= 8
    # the limit of bindings is what makes the difference: without it, fewer kernels do the same
    assert len(dispatches) > len(list(compile_graph(graph, CPU).dispatches()))


def test_a_target_with_workgroups_gets_teams_and_its_own_text() -> None:
    x, y = (wf.ones(64, 256, device="cpu") for _ in range(2))
    graph = trace(lambda a, b: (a * b + a).sum(1).exp(), x, y).graph
    (one,) = compile_graph(graph, GROUPS).dispatches()
    assert one.spec.language == "listing"
    assert "cooperative=0" not in one.spec.source
    (other,) = compile_graph(graph, CPU).dispatches()
    assert other.spec.language == "llvm"


def test_a_dialect_that_is_not_known_states_its_capabilities() -> None:
    with pytest.raises(ArgumentError, match="dialect is 'metal', expected one of wgsl-native"):
        TargetProfile("metal")
    assert TargetProfile("wgsl-browser", stated=BROWSER.capabilities).capabilities == BROWSER.capabilities
    unknown = TargetProfile("metal", stated=Capabilities("msl", True, True, True, True, 31))
    graph = trace(lambda x: x + 1, wf.ones(3, device="cpu")).graph
    with pytest.raises(KernelError, match="'msl' has no generator; there are "):
        compile_graph(graph, unknown)


def test_only_code_generation_knows_dialects() -> None:
    root = Path(wf.__file__).parent
    for path in root.rglob("*.py"):
        if path.is_relative_to(root / "codegen"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                compared = [ast.unparse(side) for side in (node.left, *node.comparators)]
                assert not any(side.endswith((".dialect", ".vendor")) for side in compared), (
                    f"{path.relative_to(root)}:{node.lineno}: ask profile.capabilities instead"
                )
