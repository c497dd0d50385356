"""Random numbers: equal on every device, reproducible, of the right distribution, and never drawn twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError
from weft.ops import OPS, bind

DRAWS: dict[str, Any] = {
    "rand": lambda device: wf.rand(3, 5, device=device),
    "randint": lambda device: wf.randint(-5, 1000, (4, 7), device=device),
    "randint wide": lambda device: wf.randint(-(2**31), 2**31 - 1, (50,), device=device),
    "randn": lambda device: wf.randn(257, device=device),
    "normal": lambda device: wf.normal(3.0, 0.5, (64,), device=device),
    "uniform float16": lambda device: wf.rand(33, dtype=wf.float16, device=device),
    "randperm": lambda device: wf.randperm(31, device=device),
    "bernoulli": lambda device: wf.bernoulli(wf.full((100,), 0.3, device=device)),
    "dropout": lambda device: wf.nn.functional.dropout(wf.ones(65, device=device), 0.4),
}
EXACT = ("rand", "randint", "randint wide", "uniform float16", "randperm", "bernoulli", "dropout")


@pytest.mark.webgpu
@pytest.mark.parametrize("name", DRAWS)
def test_devices_draw_the_same_numbers(name: str) -> None:
    drawn = []
    for device in ("cpu", ADAPTER):
        wf.manual_seed(1234)
        drawn.append([DRAWS[name](device).numpy() for _ in range(3)])
    for ours, theirs in zip(*drawn, strict=True):
        if name in EXACT:
            np.testing.assert_array_equal(ours, theirs)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_gives_the_same_numbers_and_calls_give_new_ones(device: Any, name: str) -> None:
    wf.manual_seed(7)
    first, second = (DRAWS[name](device.name).numpy().tobytes() for _ in range(2))
    wf.manual_seed(7)
    assert DRAWS[name](device.name).numpy().tobytes() == first
    assert first != second
    wf.manual_seed(8)
    assert DRAWS[name](device.name).numpy().tobytes() != first


def test_draws_follow_the_counter(device: Any) -> None:
    """Two draws of n are one draw of 2 n: the counter advances by 1 for each element, and no number is drawn twice."""
    wf.manual_seed(5)
    whole = wf.rand(20, device=device.name).tolist()
    wf.manual_seed(5)
    parts = wf.rand(2, 4, device=device.name).flatten().tolist() + wf.rand(12, device=device.name).tolist()
    assert parts == whole


def test_generators_are_independent_and_can_be_restored(device: Any) -> None:
    own = wf.Generator(device.name).manual_seed(11)
    wf.manual_seed(11)
    expected = wf.rand(6, device=device.name).tolist()
    assert wf.rand(6, device=device.name, generator=own).tolist() == expected
    wf.rand(3, device=device.name, generator=own)
    state = own.get_state()
    following = wf.randn(4, device=device.name, generator=own).tolist()
    assert own.set_state(state).get_state() == state
    assert wf.randn(4, device=device.name, generator=own).tolist() == following
    other = wf.Generator(device.name).set_state(state)
    assert wf.randn(4, device=device.name, generator=other).tolist() == following


def test_counters_carry_beyond_32_bits(device: Any) -> None:
    own = wf.Generator(device.name).manual_seed(3)
    own.take(2**32 - 2)
    crossing = wf.rand(4, device=device.name, generator=own)
    state = wf.tensor([3, 0, 0, 0], dtype=wf.uint32, device="cpu")
    expected = OPS["random_uniform"].reference(
        state.numpy(), 2**32 - 2, 0, 0.0, 1.0, shape=(4,), dtype=wf.float32
    )
    np.testing.assert_array_equal(crossing.numpy(), expected)
    assert own.get_state() == [3, 0, 2, 1]
    assert len(set(crossing.tolist())) == 4


def test_uniform_statistics(device: Any) -> None:
    wf.manual_seed(0)
    drawn = wf.rand(100_000, device=device.name).numpy()
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    assert abs(drawn.mean() - 0.5) < 4 * (1 / 12 / 1e5) ** 0.5
    assert abs(drawn.var() - 1 / 12) < 0.001
    counts = np.histogram(drawn, 100, (0, 1))[0]
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert 55 < chi_square < 155  # 99 degrees of freedom: outside once in 10,000 seeds
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.015


def test_normal_statistics(device: Any) -> None:
    wf.manual_seed(0)
    drawn = wf.randn(100_000, device=device.name).numpy().astype("float64")
    assert abs(drawn.mean()) < 0.013
    assert abs(drawn.var() - 1) < 0.02
    assert abs((drawn**3).mean()) < 0.04
    assert abs((drawn**4).mean() - 3) < 0.12
    assert np.isfinite(drawn).all()
    within = (np.abs(drawn)[:, None] < [0.5, 1.0, 2.0, 3.0]).mean(0)
    np.testing.assert_allclose(within, [0.38292, 0.68269, 0.95450, 0.99730], atol=0.006)


def test_integer_statistics(device: Any) -> None:
    wf.manual_seed(0)
    drawn = wf.randint(-3, 7, (50_000,), device=device.name).numpy()
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == list(range(-3, 7))
    assert ((counts - 5000) ** 2 / 5000).sum() < 34  # 9 degrees of freedom


def test_dropout_keeps_scales_and_masks_gradients(device: Any) -> None:
    wf.manual_seed(0)
    x = wf.full((200, 100), 2.0, device=device.name, requires_grad=True)
    y = wf.nn.functional.dropout(x, 0.3)
    host = y.detach().numpy()
    kept = host != 0
    assert abs(kept.mean() - 0.7) < 0.015
    np.testing.assert_allclose(host[kept], 2 / 0.7, rtol=1e-6)
    (y * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(kept, 2 * host / 0.7, 0), rtol=1e-5)
    assert wf.nn.functional.dropout(x, 0.3, training=False) is x
    assert not wf.nn.functional.dropout(x, 1.0).detach().numpy().any()


def test_dropout_of_a_view_uses_each_elements_own_number(device: Any) -> None:
    wf.manual_seed(2)
    dense = wf.nn.functional.dropout(wf.ones(6, 8, device=device.name), 0.5).numpy()
    wf.manual_seed(2)
    strided = wf.nn.functional.dropout(wf.ones(8, 6, device=device.name).t(), 0.5).numpy()
    np.testing.assert_array_equal(dense, strided)


def test_draws_into_strided_targets(device: Any) -> None:
    state = wf.tensor([5, 6, 7, 8], dtype=wf.uint32, device=device.name)
    dense = bind(OPS["random_uniform"], state, 0, 0, 0.0, 1.0, shape=(3, 4), dtype=wf.float32)
    base = wf.zeros(4, 3, device=device.name)
    bind(OPS["random_uniform"], state, 0, 0, 0.0, 1.0, shape=(3, 4), dtype=wf.float32, into=(base.t(),))
    assert base.t().tolist() == dense.tolist()


def test_permutations(device: Any) -> None:
    wf.manual_seed(0)
    first = wf.randperm(100, device=device.name)
    assert first.dtype is wf.int64
    assert sorted(first.tolist()) == list(range(100))
    assert first.tolist() != list(range(100))
    assert wf.randperm(0, device=device.name).tolist() == []
    places = [wf.randperm(4, device=device.name).tolist()[0] for _ in range(200)]
    assert min(places.count(i) for i in range(4)) > 25


def test_mistakes_are_named(device: Any) -> None:
    name = device.name
    with pytest.raises(DTypeError, match=r"rand: .*int64, expected a floating point type"):
        wf.rand(3, dtype=wf.int64, device=name)
    with pytest.raises(ArgumentTypeError, match=r"rand: arguments is .*sizes"):
        wf.rand(3, sizes=4, device=name)
    with pytest.raises(ArgumentError, match="randint: high is 3, expected from 6"):
        wf.randint(5, 3, (2,), device=name)
    with pytest.raises(ArgumentError, match="normal: std is -1"):
        wf.normal(0.0, -1.0, (2,), device=name)
    with pytest.raises(ArgumentError, match=r"dropout: p is 1.5"):
        wf.nn.functional.dropout(wf.ones(2, device=name), 1.5)
    with pytest.raises(ArgumentError, match="randperm: n is -1"):
        wf.randperm(-1, device=name)
    wf.manual_seed(1)
    before = wf.rand(1, device=name).tolist()
    wf.manual_seed(1)
    with pytest.raises(wf.errors.ShapeError):
        wf.rand(-3, device=name)
    assert wf.rand(1, device=name).tolist() == before  # a refused draw takes no numbers


def test_the_generator_of_a_disposed_device_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from weft import devices
    from weft.random.generator import all_generators

    monkeypatch.setattr(devices, "_devices", {})
    generator = wf.Generator("cpu")
    wf.rand(3, device="cpu", generator=generator)
    assert generator in all_generators()
    devices.open("cpu").dispose()
    assert generator.stranded
    assert generator not in all_generators()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_uniform_numbers_stay_below_one(device: Any, dtype: str) -> None:
    """Each type has as many digits as it holds, as in PyTorch: the mean stays, and 1 is never reached."""
    generator = wf.Generator(device.name).manual_seed(3)
    drawn = (
        wf.rand(1 << 20, dtype=getattr(wf, dtype), device=device.name, generator=generator).float().numpy()
    )
    assert drawn.min() >= 0 and drawn.max() < 1
    steps = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24}[dtype]
    assert (drawn * steps == np.floor(drawn * steps)).all()
    assert abs(drawn.mean() - (0.5 - 0.5 / steps)) < 2e-3
    target = wf.empty(1 << 16, dtype=getattr(wf, dtype), device=device.name)
    wf.rand(1 << 16, out=target, generator=generator)
    assert float(target.float().numpy().max()) < 1


def test_chances_of_draws_in_16_bits(device: Any) -> None:
    """``bernoulli`` of 1 always, of 0 never; ``dropout`` keeps what it should."""
    for dtype in (wf.float16, wf.bfloat16):
        ones = wf.ones(1 << 16, dtype=dtype, device=device.name)
        assert float(wf.bernoulli(ones).float().numpy().min()) == 1
        assert float(wf.bernoulli(ones * 0).float().numpy().max()) == 0
        kept = wf.nn.functional.dropout(ones, 0.25).float().numpy() > 0
        assert abs(kept.mean() - 0.75) < 0.02
