"""Arenas: runs that are live together share no bytes, and library kernels read and write different arenas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import weft as wf
from tests.conftest import ADAPTER
from tests.graph.test_counts import PROFILES, Block
from weft import nn
from weft.compiler import trace
from weft.errors import UnsupportedError
from weft.graph import Graph
from weft.graph.pipeline import lower_graph
from weft.graph.plan.arenas import ROOMY, ArenaLayout, Run, arrange
from weft.graph.plan.bindings import with_access_modes
from weft.graph.plan.planning import Planning
from weft.plan import Dispatch, Place, Plan
from weft.target import Binding, KernelSpec, TargetProfile

RUNS = st.lists(
    st.tuples(st.integers(1, 5000), st.integers(0, 12), st.integers(0, 6)), min_size=1, max_size=14
)


def check(layout: ArenaLayout, runs: dict[str, Run]) -> None:
    """Check that every run is in its arena, at a multiple of 256, and shares no byte with a run that is live with it."""
    for name, run in runs.items():
        arena, offset = layout.places[name]
        assert offset % 256 == 0 <= offset and offset + run.size <= layout.arenas[arena]
        for other, second in runs.items():
            where, at = layout.places[other]
            alive = run.first <= second.last and second.first <= run.last
            if name != other and arena == where and alive:
                assert offset + run.size <= at or at + second.size <= offset


@given(RUNS, st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13), st.floats(0.1, 9)), max_size=12))
def test_runs_that_are_alive_together_share_no_byte(
    given_runs: list[tuple[int, int, int]], pairs: list[tuple[int, int, float]]
) -> None:
    runs = {f"r{at}": Run(size, first, first + more) for at, (size, first, more) in enumerate(given_runs)}
    apart = {
        frozenset((f"r{name}", f"r{other}")): work
        for name, other, work in pairs
        if name < other < len(given_runs)
    }
    layout = arrange(runs, 1 << 20, apart)
    check(layout, runs)
    if layout.total > ROOMY * layout.peak:  # then nothing was paid for lying apart
        assert layout == arrange(runs, 1 << 20, {})
    split = arrange(runs, 5120, apart)
    check(split, runs)
    assert max(split.arenas) <= 5120


def test_a_run_that_cannot_be_bound_is_named() -> None:
    with pytest.raises(UnsupportedError, match=r"a value takes 5,000 bytes, expected at most 4,096"):
        arrange({"x": Run(5000, 0, 1)}, 4096, {})


def test_the_pair_with_the_most_work_is_apart() -> None:
    """A triangle of pairs, and a fourth value that fills the rest of an arena: three arenas would take too much memory."""
    runs = {"a": Run(4096, 0, 1), "b": Run(4096, 2, 3), "c": Run(4096, 4, 5), "d": Run(256, 6, 7)}
    pairs = {
        frozenset("ab"): 1.0,
        frozenset("bc"): 1.0,
        frozenset("ac"): 1.0,
        frozenset("cd"): 1000.0,
    }
    layout = arrange(runs, 1 << 20, pairs)
    assert layout.total <= ROOMY * 4096
    assert layout.places["c"][0] != layout.places["d"][0]


# What plans bind.


@pytest.fixture(autouse=True)
def on_the_adapter() -> Iterator[None]:
    before = wf.devices.chosen()
    wf.set_default_device(ADAPTER)
    yield
    wf.set_default_device(before)


@dataclass(frozen=True)
class Sizes:
    """A GPT: layers, width, heads, tokens of a text, texts of a batch."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    tokens: int = 64
    batch: int = 32


CHARACTERS, SMALL = Sizes(), Sizes(6, 384, 6, 256, 64)


class Decoder(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.token, self.place = (
            nn.Embedding(96, sizes.width),
            nn.Parameter(wf.zeros(sizes.tokens, sizes.width)),
        )
        self.blocks = nn.Sequential(*[Block(sizes.width, sizes.heads) for _ in range(sizes.layers)])
        self.norm, self.head = nn.LayerNorm(sizes.width), nn.Linear(sizes.width, 96)

    def forward(self, x: Any) -> Any:
        return self.head(self.norm(self.blocks(self.token(x) + self.place)))


def step(sizes: Sizes) -> Graph:
    """A training step, traced."""
    model = Decoder(sizes)
    optimizer = wf.optim.AdamW(model.parameters())
    x = wf.zeros(sizes.batch, sizes.tokens, dtype=wf.int64)

    def run(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()
        optimizer.step()
        return loss

    return trace(run, x, x).graph


def products(plan: Plan) -> list[Dispatch]:
    return [dispatch for dispatch in plan.dispatches() if dispatch.spec.name.startswith("matmul_float32")]


def shares(plan: Plan) -> tuple[int, int]:
    """How many products read both operands as ``read``, and of how many."""
    found = products(plan)
    return sum(all(source.access == "read" for source in each.spec.inputs[:2]) for each in found), len(found)


@pytest.mark.webgpu
@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("hardware", CHARACTERS), ("hardware", replace(CHARACTERS, batch=8)), ("hardware", SMALL),
        ("software", CHARACTERS), ("browser", CHARACTERS), ("browser", replace(CHARACTERS, width=384, tokens=256)),
    ],
    ids=["char", "few", "small", "software", "browser", "browser, large tiles"],
)  # fmt: skip
def test_all_products_of_a_step_read_constant_operands(kind: str, sizes: Sizes) -> None:
    profile = PROFILES[kind]
    lowered = lower_graph(step(sizes), profile)
    planning = Planning(lowered, profile)
    plan = planning.plan()
    read, count = shares(plan)
    assert count >= 5 * sizes.layers
    assert read == count
    assert planning.memory.arena <= ROOMY * planning.memory.peak
    most = profile.limits["max-storage-buffers-per-shader-stage"]
    for dispatch in plan.dispatches():
        check_accesses(dispatch)
        assert len(dispatch.places) + dispatch.spec.reports <= most


def check_accesses(dispatch: Dispatch) -> None:
    """Check that no buffer is bound both read-only and read-write, and that the source agrees with the bindings."""
    spec = dispatch.spec
    ways: dict[Any, set[str]] = {}
    for place, binding in zip(dispatch.places, (*spec.inputs, *spec.outputs), strict=True):
        own = place.space in ("arena", "output")
        ways.setdefault((place.space, place.index) if own else "caller", set()).add(binding.access)
    assert all(len(found) == 1 for found in ways.values()), dispatch
    written = sum(value.access == "read_write" for value in (*spec.inputs, *spec.outputs)) + spec.reports
    assert spec.source.count("var<storage, read_write>") == written


@pytest.mark.webgpu
def test_small_bindings_make_more_arenas_and_nothing_else() -> None:
    own = PROFILES["hardware"]
    limits = {**own.limits, "max-storage-buffer-binding-size": 1 << 24}
    profile = TargetProfile(own.dialect, own.features, limits)
    planning = Planning(lower_graph(step(CHARACTERS), profile), profile)
    plan = planning.plan()
    assert max(plan.arenas) <= 1 << 24
    assert planning.memory.arena <= 1.1 * planning.memory.peak
    read, count = shares(plan)
    assert read == count


@pytest.mark.webgpu
def test_one_product_reads_its_inputs_as_constants() -> None:
    """Inputs and outputs have their own buffers; a state that is written may share a buffer with an input."""
    profile = PROFILES["hardware"]
    x, total = wf.ones(256, 256), nn.Parameter(wf.zeros(256, 256))

    def accumulated(x: Any) -> None:
        with wf.no_grad():
            total.add_(x @ x)

    plain = Planning(lower_graph(trace(lambda x: x @ x, x).graph, profile), profile).plan()
    assert shares(plain) == (1, 1)
    into = Planning(lower_graph(trace(accumulated, x).graph, profile), profile).plan()
    assert shares(into) == (0, 1)


def test_inputs_are_read_write_only_in_written_buffers() -> None:
    text = (
        "@group(0) @binding(0) var<storage, read> a: array<f32>;\n"
        "@binding(1) @group(0) var< storage > b: array<f32>;\n"
        "@group(0) @binding(2) var<storage, read_write> c: array<f32>;\n"
    )
    names = [Binding(name, wf.float32) for name in "ab"]
    out = Binding("c", wf.float32, "read_write")
    spec = KernelSpec("k", "wgsl", (), tuple(names), (out,), (1, 1, 1), ("1", "1", "1"), text)

    def bound(*spaces: tuple[Any, int], tuned: bool = True) -> tuple[list[str], int]:
        places = [Place(space, index, 256 * at, 64) for at, (space, index) in enumerate(spaces)]
        made = with_access_modes(spec, places, tuned)
        return [source.access for source in made.inputs], made.source.count("read_write")

    arena, other, state, given_, out_ = ("arena", 0), ("arena", 1), ("state", 3), ("input", 0), ("output", 0)
    assert bound(arena, state, other) == (["read", "read"], 1)
    assert bound(arena, other, other) == (["read", "read_write"], 2)
    assert bound(arena, other, arena) == (["read_write", "read"], 2)
    assert bound(given_, arena, state) == (["read_write", "read"], 2)
    assert bound(given_, state, out_) == (["read", "read"], 1)
    assert bound(given_, state, out_, tuned=False) == (["read_write", "read_write"], 3)
