"""Jitted methods of objects, trees that keep their types, copies and pickles of jitted functions."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

import weft as wf
from weft.errors import UnsupportedError


@dataclass(frozen=True)
class Equal:
    """Instances are equal and have one hash."""

    tag: int = 0

    @wf.jit
    def scaled(self, x):
        return x * self.__dict__["by"]


class Doubler:
    def __init__(self, by=2.0):
        self.by = by

    @wf.jit
    def run(self, x):
        return x * self.by


class Tripler(Doubler):
    @wf.jit
    def run(self, x):
        return super().run(x) * 1.5


class Net(wf.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = wf.nn.Linear(2, 1, device="cpu")
        self.forward = wf.jit(self.forward)

    def forward(self, x):
        return self.fc(x)


@wf.jit(max_cached=3)
def decorated(x):
    return x + 1


def plain(x):
    return x * 3


named = wf.jit(plain, donate="x")
compiled = wf.compile(plain)


def ones(*shape: int) -> Any:
    return wf.ones(*shape, device="cpu")


def test_equal_objects_have_their_own_programs() -> None:
    one, two = Equal(), Equal()
    one.__dict__["by"], two.__dict__["by"] = 1.0, 5.0
    assert one == two and hash(one) == hash(two)
    assert one.scaled(ones(1)).tolist() == [1.0] and two.scaled(ones(1)).tolist() == [5.0]
    assert one.scaled is one.scaled and one.scaled is not two.scaled


def test_objects_with_programs_are_collected() -> None:
    owner = Doubler()
    owner.run(ones(2))
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_a_method_and_the_overridden_method() -> None:
    owner = Tripler()
    for _ in range(2):
        assert owner.run(ones(1)).tolist() == [3.0]
        assert Doubler.run.__get__(owner)(ones(1)).tolist() == [2.0]
    assert owner.run.compilations == 1


def test_objects_without_attributes_are_refused() -> None:
    class Slotted:
        __slots__ = ()

        @wf.jit
        def run(self, x):
            return x

    with pytest.raises(UnsupportedError, match="of a Slotted without __dict__"):
        Slotted().run(ones(1))


class Modules(wf.nn.Module):
    """A module whose ``==`` compares names: equal, and not the same."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x):
        return x * self.by

    def __eq__(self, other):
        return isinstance(other, Modules)

    def __hash__(self):
        return 1


def test_module_arguments_are_compared_by_identity() -> None:
    f = wf.jit(lambda net, x: net(x))
    one, two = Modules(2.0), Modules(3.0)
    assert one == two
    assert [f(net, ones(1)).item() for net in (one, two, one)] == [2.0, 3.0, 2.0] and f.compilations == 2


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass
class Out:
    loss: Any
    logits: Any = None


class Attributes(OrderedDict):
    """A mapping whose entries are attributes too, as configurations in libraries of models."""

    def __init__(self, owner, **entries):
        super().__init__(**entries)
        self.owner = owner
        self.__dict__.update(entries)


def test_results_keep_the_types_of_their_containers(device) -> None:
    def f(x):
        many = defaultdict(list, {"a": [x, x + 1]})
        return OrderedDict(b=x, a=x + 1), many, Pair(x, x * 2), Out(x.sum()), Attributes("me", loss=x)

    x = wf.ones(1, device=device.name)
    ordered, many, pair, out, attributes = wf.jit(f)(x)
    assert type(ordered) is OrderedDict and list(ordered) == ["b", "a"]
    ordered.move_to_end("b")
    assert type(many) is defaultdict and many["missing"] == [] and len(many["a"]) == 2
    assert type(pair) is Pair and pair.b.tolist() == [2.0] and type(out) is Out and out.logits is None
    assert type(attributes) is Attributes and attributes.owner == "me"
    assert attributes.loss is attributes["loss"] and attributes.loss.tolist() == [1.0]


def test_arguments_keep_the_types_of_their_containers(device) -> None:
    seen: list[Any] = []

    @wf.jit
    def f(tree):
        seen.extend((type(tree), type(tree["a"])))
        return tree["a"]["n"]

    x = wf.ones(1, device=device.name)
    assert f(OrderedDict(a=Counter(n=2), b=x)).item() == 2
    assert f(OrderedDict(a=Counter(n=3), b=x)).item() == 3
    assert seen == [OrderedDict, Counter]


@pytest.mark.parametrize("name", ["decorated", "named", "compiled"])
def test_jitted_functions_are_pickled_by_reference(name: str) -> None:
    function = globals()[name]
    again, copied = pickle.loads(pickle.dumps(function)), copy.deepcopy(function)
    for value in (again, copied):
        assert type(value) is type(function) and value.max_cached == function.max_cached
        assert value.donate == function.donate
        assert value(ones(2)).tolist() == function(ones(2)).tolist()
    assert (again is function) == (name == "decorated"), "a decorated function is what its name stands for"


def test_functions_without_a_name_are_not_pickled() -> None:
    with pytest.raises(UnsupportedError, match=r"cannot be found by its name.*top level of a module"):
        pickle.dumps(wf.jit(lambda x: x))
    copied = copy.deepcopy(wf.jit(lambda x: x + 1))
    assert copied(ones(1)).tolist() == [2.0]


def test_objects_with_jitted_methods_are_copied_and_pickled() -> None:
    owner = Doubler()
    owner.run(ones(1))
    for value in (copy.deepcopy(owner), pickle.loads(pickle.dumps(owner))):
        value.by = 4.0
        assert value.run is not owner.run and value.run.__wrapped__.__self__ is value
        assert value.run(ones(1)).tolist() == [4.0] and owner.run(ones(1)).tolist() == [2.0]


def test_modules_with_a_jitted_forward_are_copied_and_pickled() -> None:
    net = Net()
    expected = net(ones(3, 2))
    for value in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), copy.deepcopy(wf.jit(net))):
        inner = value.__wrapped__ if isinstance(value, type(decorated)) else value
        assert inner.fc.weight is not net.fc.weight
        assert value(ones(3, 2)).tolist() == expected.tolist()
        with wf.no_grad():
            inner.fc.weight.add_(1)
            inner.fc.bias.zero_()
        assert (
            value(ones(3, 2)).tolist() != expected.tolist() and net(ones(3, 2)).tolist() == expected.tolist()
        )
