"""Guards of plain values: a change recompiles and logs the reason; a failed trace restores the function's writes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType
from typing import Any

import pytest

import weft as wf
from weft.compiler.observing import _observed
from weft.compiler.plain import is_plain, same, snapshot
from weft.errors import ShapeError, UnsupportedError


class Mode(Enum):
    DOUBLE = 2.0
    TRIPLE = 3.0


@dataclass
class Inner:
    by: float = 2.0


@dataclass
class Config:
    by: float = 2.0
    flag: bool = False
    name: str = "double"
    mode: Mode = Mode.DOUBLE
    none: Any = None
    sizes: tuple[int, ...] = (1, 1)
    unread: int = 0
    inner: Inner = field(default_factory=Inner)
    numbers: list[float] = field(default_factory=lambda: [2.0])
    table: dict[str, float] = field(default_factory=lambda: {"by": 2.0})


class Slotted:
    __slots__ = ("by",)

    def __init__(self):
        self.by = 2.0


class Static:
    by = 2.0


class Layer(wf.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = wf.nn.LeakyReLU(2.0)
        self.by, self.calls = 2.0, 0

    def forward(self, x):
        return self.inner(x * self.by)

    @property
    def half(self):
        return self.by / 2


FLAG = 2.0
MODULE = ModuleType("settings_of_a_test")
MODULE.by = 2.0
NAMES = {"double": 2.0, "triple": 3.0}


def helper() -> float:
    return FLAG


def put(owner: Any, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(owner, name, value)


def scaled(get: Callable[[], float]) -> Callable[[Any], Any]:
    return lambda x: x * get()


config, slotted, layer = Config(), Slotted(), Layer()
READS: dict[str, tuple[Callable[[], float], Callable[[Any], None], Any, Any, str]] = {
    "a field": (lambda: config.by, put(config, "by"), 2.0, 3.0, "Config.by is 3.0, was 2.0"),
    "a flag": (lambda: 3.0 if config.flag else 2.0, put(config, "flag"), False, True, "Config.flag is True, was False"),
    "a string": (lambda: NAMES[config.name], put(config, "name"), "double", "triple", "Config.name is 'triple', was 'double'"),
    "an enum": (lambda: config.mode.value, put(config, "mode"), Mode.DOUBLE, Mode.TRIPLE, "Config.mode is <Mode.TRIPLE"),
    "none": (lambda: 2.0 if config.none is None else 3.0, put(config, "none"), None, 1, "Config.none is 1, was None"),
    "a tuple": (lambda: float(sum(config.sizes)), put(config, "sizes"), (1, 1), (1, 2), r"Config.sizes is (1, 2), was (1, 1)"),
    "a nested field": (lambda: config.inner.by, lambda v: put(config.inner, "by")(v), 2.0, 3.0, "Inner.by is 3.0, was 2.0"),
    "a list": (lambda: config.numbers[0], lambda v: config.numbers.__setitem__(0, v), 2.0, 3.0, "Config.numbers is [3.0], was [2.0]"),
    "a dict": (lambda: config.table["by"], lambda v: config.table.update(by=v), 2.0, 3.0, "Config.table is {'by': 3.0}, was"),
    "a slot": (lambda: slotted.by, put(slotted, "by"), 2.0, 3.0, "Slotted.by is 3.0, was 2.0"),
    "a class attribute": (lambda: Static.by, put(Static, "by"), 2.0, 3.0, "Static.by is 3.0, was 2.0"),
    "a class attribute of an object": (lambda: Static().by, put(Static, "by"), 2.0, 3.0, ""),
    "a module's attribute": (lambda: layer.by, put(layer, "by"), 2.0, 3.0, "Layer.by is 3.0, was 2.0"),
    "behind a property": (lambda: layer.half * 2, put(layer, "by"), 2.0, 3.0, "Layer.by is 3.0, was 2.0"),
    "a name of a Python module": (lambda: MODULE.by, put(MODULE, "by"), 2.0, 3.0, "`by` of settings_of_a_test is 3.0, was 2.0"),
    "a global": (lambda: FLAG, put(sys.modules[__name__], "FLAG"), 2.0, 3.0, "the global `FLAG`"),
    "a global of a helper": (helper, put(sys.modules[__name__], "FLAG"), 2.0, 3.0, "the global `FLAG`"),
    "getattr": (lambda: getattr(config, "".join(("b", "y"))), put(config, "by"), 2.0, 3.0, "Config.by is 3.0, was 2.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in READS if name != "a class attribute of an object"])
def test_a_change_of_a_plain_value_recompiles(device: Any, name: str, caplog: Any) -> None:
    get, set_, old, new, reason = READS[name]
    f, x = wf.jit(scaled(get)), wf.ones(1, device=device.name)
    try:
        assert f(x).item() == 2.0
        assert f(x).item() == 2.0 and f.compilations == 1
        set_(new)
        with caplog.at_level(logging.INFO, logger="weft.compiler"):
            assert f(x).item() == 3.0 and f.compilations == 2
        assert reason in caplog.text
        set_(old)
        assert f(x).item() == 2.0 and f.compilations == 2, "the first program fits again"
    finally:
        set_(old)


def test_layers_of_weft_are_read_too(device: Any) -> None:
    inner = Layer().to(device.name)
    f, x = wf.jit(lambda x: inner(x)), wf.tensor([-1.0], device=device.name)
    assert f(x).item() == -4.0
    inner.inner.negative_slope = 0.5
    assert f(x).item() == -1.0
    inner.by = 1.0
    assert f(x).item() == -0.5 and f.compilations == 3


def test_a_variable_of_the_function_around(device: Any) -> None:
    by, x = 2.0, wf.ones(1, device=device.name)
    f = wf.jit(lambda x: x * by)
    for by in (2.0, 3.0, 2.0, float("2")):
        assert f(x).item() == by
    assert f.compilations == 2


def test_unread_attributes_and_equal_values_compile_nothing() -> None:
    x, own = wf.ones(1, device="cpu"), Config(sizes=(100, 1))
    f = wf.jit(lambda x: x * own.by + own.sizes[0])
    f(x)
    own.unread, own.by, own.sizes = 5, float("2"), tuple(map(int, ("100", "1")))
    own.name = "other"
    f(x)
    assert f.compilations == 1
    own.by = 2  # a whole number: another type, though equal
    f(x)
    assert f.compilations == 2


def test_tensors_of_variables_and_objects_are_taken_over(device: Any) -> None:
    class State:
        def __init__(self):
            self.h = wf.ones(2, device=device.name)

    w, state, many = wf.ones(2, device=device.name), State(), [wf.ones(2, device=device.name)]
    f = wf.jit(lambda x: x * w + state.h + many[0])
    x = wf.ones(2, device=device.name)
    assert f(x).tolist() == [3.0] * 2
    w, state.h, many[0] = w * 2, state.h * 3, many[0] * 4
    assert f(x).tolist() == [9.0] * 2 and f.compilations == 1
    w = wf.ones(1, device=device.name)
    assert f(x).tolist() == [8.0] * 2 and f.compilations == 2


def test_functions_and_objects_that_are_replaced() -> None:
    x, act = wf.ones(1, device="cpu"), wf.neg
    net: Any = wf.nn.LeakyReLU(0.5)
    f = wf.jit(lambda x: act(net(x)))
    assert f(x).item() == -1.0
    act = lambda x: x * 7  # noqa: E731
    assert f(x).item() == 7.0
    net = wf.nn.Identity()
    assert f(-x).item() == -7.0 and f.compilations == 3


def test_values_that_the_function_changes_are_logged_and_not_guarded(caplog: Any) -> None:
    net, count = Layer(), 0

    class Counting(wf.nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            nonlocal count
            count += 1
            self.calls += 1
            return net(x)

    counting = Counting()
    f = wf.jit(counting)
    with caplog.at_level(logging.WARNING, logger="weft.compiler"):
        for _ in range(3):
            f(wf.ones(1, device="cpu"))
    assert f.compilations == 1 and counting.calls == 1 and count == 1
    assert "Counting.calls" in caplog.text and "the variable `count`" in caplog.text


def test_classes_are_as_they_were_after_a_trace() -> None:
    own = Config()
    before = [(kind, dict(vars(kind))) for kind in (Config, wf.nn.Module, Layer)]
    f = wf.jit(lambda x: layer(x) * own.by)
    f(wf.ones(1, device="cpu"))
    with pytest.raises(ShapeError):
        wf.jit(lambda x: layer(x) * own.by @ wf.ones(3, 4))(wf.ones(2, device="cpu"))
    assert not _observed
    for kind, attributes in before:
        assert dict(vars(kind)) == attributes


# Refused traces.


def test_a_failed_trace_restores_python_values() -> None:
    class Recurrent(wf.nn.Module):
        def __init__(self):
            super().__init__()
            self.h = wf.zeros(1)
            self.register_buffer("seen", wf.zeros(1))
            self.history, self.table, self.steps = [], {}, 0

        def forward(self, x):
            self.steps += 1
            self.h = self.h * 0.5 + x
            self.seen = self.seen + x
            self.new = x * 2
            self.history.append(self.h)
            self.table["last"] = self.h
            return self.h

    net = Recurrent()
    h, seen = net.h, net.seen
    with pytest.raises(UnsupportedError, match="is kept in"):
        wf.jit(net)(wf.ones(1))
    assert net.h is h and net.seen is seen and not hasattr(net, "new")
    assert (net.history, net.table, net.steps) == ([], {}, 0)
    assert net(wf.ones(1)).tolist() == [1.0], "eager calls work afterwards"


KEPT: Any = None


def test_a_failing_trace_undoes_variables_and_slots() -> None:
    own, local = Slotted(), None

    def f(x):
        global KEPT
        nonlocal local
        KEPT = local = own.by = x * 2
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        wf.jit(f)(wf.ones(1))
    assert KEPT is None and local is None and own.by == 2.0
    with pytest.raises(UnsupportedError, match="item"):
        wf.jit(lambda x: setattr(own, "by", x) or x.item())(wf.ones(1))
    assert own.by == 2.0


# Plain values.


def test_plain_values_are_compared_by_type_and_value() -> None:
    values = [
        0,
        0.0,
        -0.0,
        False,
        None,
        "",
        (),
        (0,),
        (0.0,),
        float("nan"),
        Mode.DOUBLE,
        wf.float32,
        range(0),
        b"",
    ]
    assert all(map(is_plain, values)) and not any(map(is_plain, ([], {}, object(), (object(),))))
    for i, value in enumerate(values):
        for j, other in enumerate(values):
            assert same(value, other) == (i == j), (value, other)
    assert snapshot([1, [2]]) is None and snapshot([1, "a"]) == [1, "a"]
