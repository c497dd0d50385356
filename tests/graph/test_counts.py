"""How many dispatches programs take on WebGPU: counted for target profiles, with no device at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import pytest

import weft as wf
import weft.nn.functional as F
from tests.conftest import ADAPTER
from weft import nn
from weft.compiler import trace
from weft.graph import compile_graph
from weft.graph.lower.lowered import Lowered
from weft.graph.pipeline import lower_graph
from weft.kernels import Library
from weft.target import BROWSER, TargetProfile
from weft.tensors.tensor import Tensor

HARDWARE = TargetProfile(
    "wgsl-native",
    frozenset({"immediates"}),
    {"max-immediate-size": 128, "max-storage-buffers-per-shader-stage": 1 << 20},
)
SOFTWARE = TargetProfile("wgsl-native", HARDWARE.features, HARDWARE.limits, software=True)
PROFILES = {"hardware": HARDWARE, "software": SOFTWARE, "browser": BROWSER}


@pytest.fixture(autouse=True)
def on_cpu() -> Iterator[None]:
    before = wf.devices.chosen()
    wf.set_default_device("cpu")
    yield
    wf.set_default_device(before)


def dispatches(function: Callable[..., Any], *arguments: Tensor, profile: TargetProfile = HARDWARE) -> int:
    return sum(1 for _ in compile_graph(trace(function, *arguments).graph, profile).dispatches())


def calls(function: Callable[..., Any], *arguments: Tensor, profile: TargetProfile = HARDWARE) -> Lowered:
    return lower_graph(trace(function, *arguments).graph, profile)


class Block(nn.Module):
    """A transformer block with pre-norms."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        B, T, D = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(B, T, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.permute(0, 2, 1, 3).reshape(B, T, D))
        return x + self.out(F.gelu(self.fc(self.norm2(x))))


def blocks(count: int) -> tuple[nn.Module, Tensor]:
    wf.set_default_device(ADAPTER)  # the CPU keeps the weights of an attention that is this small
    wf.manual_seed(0)
    return nn.Sequential(*[Block(128, 4) for _ in range(count)]), wf.randn(8, 64, 128)


def stages(function: Callable[..., Any], *arguments: Tensor, profile: TargetProfile) -> int:
    """Dispatches, counting a product once whose depth is cut into pieces because that is faster."""
    lowered = calls(function, *arguments, profile=profile)
    cut = sum(
        isinstance(call.kernel, Library) and ("split", True) in call.kernel.options for call in lowered.calls
    )
    return len(lowered.calls) - cut


def forward(model: nn.Module, x: Tensor, profile: TargetProfile) -> int:
    def run(x: Tensor) -> Tensor:
        with wf.no_grad():
            return model(x)

    return stages(run, x, profile=profile)


def backward(model: nn.Module, x: Tensor, profile: TargetProfile) -> int:
    """Of a forward and a backward pass together."""

    def run(x: Tensor) -> list[Tensor]:
        return list(wf.autograd.grad(model(x).sum(), list(model.parameters())))

    return stages(run, x, profile=profile)


@pytest.mark.webgpu
@pytest.mark.parametrize("kind", PROFILES)
def test_a_block_takes_seven_forward(kind: str) -> None:
    one, two = (forward(*blocks(count), profile=PROFILES[kind]) for count in (1, 2))
    assert one == 7
    assert two - one == 7


@pytest.mark.webgpu
@pytest.mark.parametrize("kind", PROFILES)
def test_a_block_takes_at_most_fourteen_backward(kind: str) -> None:
    """The difference between three and two blocks, which excludes the first and last layers."""
    two, three = (backward(*blocks(count), profile=PROFILES[kind]) for count in (2, 3))
    assert three - two - 7 <= 14


def mlp(optimizer: Callable[..., Any]) -> tuple[Callable[..., Any], Tensor, Tensor]:
    wf.set_default_device(ADAPTER)  # there optimizers keep float32 where ``cpu`` has float64
    wf.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    made = optimizer(model.parameters(), lr=1e-3)

    def step(x: Tensor, y: Tensor) -> Tensor:
        made.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        made.step()
        return loss

    return step, wf.randn(64, 64), wf.randint(0, 10, (64,))


@pytest.mark.webgpu
@pytest.mark.parametrize("kind", ["hardware", "software"])
def test_a_step_of_a_small_network_takes_at_most_twelve(kind: str) -> None:
    assert dispatches(*mlp(wf.optim.Adam), profile=PROFILES[kind]) <= 12


@pytest.mark.webgpu
@pytest.mark.parametrize("optimizer", [wf.optim.Adam, wf.optim.AdamW])
def test_an_optimizer_updates_all_parameters_in_one(optimizer: Callable[..., Any]) -> None:
    lowered = calls(*mlp(optimizer))
    assert sum("adam_step" in call.ops for call in lowered.calls) == 1


def fuse_horizontally(sizes: list[int], numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Place states one after another in one buffer."""
    ends = list(accumulate(-(-sizes[number] // 256) * 256 for number in numbers))
    return {number: (0, end) for number, end in zip(numbers, [0, *ends], strict=False)}


@pytest.mark.webgpu
@pytest.mark.parametrize("optimizer", [wf.optim.Adam, wf.optim.AdamW])
@pytest.mark.parametrize("kind", PROFILES)
def test_forty_parameters_are_updated_in_two(kind: str, optimizer: Callable[..., Any]) -> None:
    wf.set_default_device(ADAPTER)
    wf.manual_seed(0)
    layers = [layer for at in range(20) for layer in (nn.Linear(8 + at, 9 + at), nn.Tanh())]
    model = nn.Sequential(*layers)
    made = optimizer(model.parameters(), lr=1e-3)

    def step(x: Tensor) -> None:
        model(x).sum().backward()
        made.step()
        made.zero_grad()

    traced, profile = trace(step, wf.randn(4, 8)), PROFILES[kind]
    sizes = [state._data.storage.size for state in traced.states]
    plan = compile_graph(traced.graph, profile, lambda numbers: fuse_horizontally(sizes, numbers))
    updates = [dispatch for dispatch in plan.dispatches() if "adam_step" in dispatch.spec.name]
    assert 1 <= len(updates) <= 2
    most = profile.limits["max-storage-buffers-per-shader-stage"]
    assert all(len(dispatch.places) + dispatch.spec.reports <= most for dispatch in plan.dispatches())
    apart = [
        dispatch
        for dispatch in compile_graph(traced.graph, profile).dispatches()
        if "adam_step" in dispatch.spec.name
    ]
    assert (len(apart) > 2) == (kind == "browser")


NORMALIZED: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: wf.softmax(x * 2, -1),
    "layer norm": lambda x: F.layer_norm(wf.relu(x), (x.shape[-1],)),
    "rms norm": lambda x: F.rms_norm(x + 1, (x.shape[-1],)),
    "log softmax": lambda x: wf.log_softmax(x, -1),
}


@pytest.mark.parametrize("name", NORMALIZED)
def test_normalized_rows_take_one_forward_and_two_backward(name: str) -> None:
    x, weight = wf.randn(256, 96), wf.randn(256, 96)

    def gradient(x: Tensor, weight: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (found,) = wf.autograd.grad((NORMALIZED[name](x) * weight).sum(), [x])
        return found

    assert dispatches(NORMALIZED[name], x) == 1
    assert dispatches(gradient, x, weight) <= 2


def test_cross_entropy_of_rows_takes_one_forward() -> None:
    y = wf.randint(0, 96, (256,))
    assert dispatches(lambda x: F.cross_entropy(x, y, reduction="none"), wf.randn(256, 96)) == 1


def test_small_independent_sums_are_one_kernel() -> None:
    given = [wf.randn(64, size) for size in (10, 128, 32)]
    lowered = calls(lambda *all: [tensor.sum(0) for tensor in all], *given, profile=SOFTWARE)
    assert Counter(call.ops for call in lowered.calls) == {("sum", "sum", "sum"): 1}


def test_a_dependent_sum_is_not_fused_horizontally() -> None:
    def function(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        first = x.sum(0)
        return first, (first.reshape(8, 16) @ w).sum(0)

    lowered = calls(function, wf.randn(600, 128), wf.randn(16, 70), profile=SOFTWARE)
    assert len([call for call in lowered.calls if "sum" in call.ops]) == 2
