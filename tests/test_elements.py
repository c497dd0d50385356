"""Elements are immutable and comparable; JSON round trips; ``diff`` turns any tree into any other."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from weft.elements import (
    MOST_LEVELS,
    Element,
    Insert,
    Move,
    Remove,
    Replace,
    Update,
    apply,
    component,
    constructor,
    diff,
    element,
    from_json,
    place,
    to_json,
)
from weft.errors import ArgumentError, ArgumentTypeError

# Trees --------------------------------------------------------------------------------------------------------

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, -0.0, 1.0, 2.5])
    | st.sampled_from("ab"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pq"), inner, max_size=2),
    max_leaves=4,
)
properties = st.dictionaries(st.sampled_from(["x", "y", "z"]), plain, max_size=3)


def unique_keys(children: list[Element]) -> list[Element]:
    seen: set[str | None] = set()
    kept = []
    for child in children:
        kept.append(child if child.key is None or child.key not in seen else child.with_(key=None))
        seen.add(child.key)
    return kept


def elements(children: st.SearchStrategy[list[Element]]) -> st.SearchStrategy[Element]:
    return st.builds(
        lambda type, props, below, key: Element(type, props, tuple(unique_keys(below)), key),
        st.sampled_from("ABC"), properties, children, st.none() | st.sampled_from("klmnop"),
    )  # fmt: skip


trees = st.recursive(
    elements(st.just([])), lambda inner: elements(st.lists(inner, max_size=6)), max_leaves=15
)


@st.composite
def reorderings(draw: Any) -> tuple[Element, Element]:
    """Draw a tree and a version of it with children moved, removed and added, as in an edited template."""
    below = [Element("A", {}, (), str(index)) for index in range(draw(st.integers(0, 12)))]
    changed = draw(st.permutations(below))[draw(st.integers(0, 3)) :]
    for _ in range(draw(st.integers(0, 3))):
        changed.insert(draw(st.integers(0, len(changed))), Element("B"))
    return Element("R", {}, tuple(below)), Element("R", {}, tuple(changed))


@given(trees, trees)
def test_edits_lead_from_any_tree_to_any_other(old: Element, new: Element) -> None:
    made = apply(old, diff(old, new))
    assert made == new
    assert to_json(made) == to_json(new)
    assert diff(made, new) == []


@given(reorderings())
def test_children_that_stay_are_moved_never_remade(pair: tuple[Element, Element]) -> None:
    old, new = pair
    edits = diff(old, new)
    assert apply(old, edits) == new
    assert not any(isinstance(edit, Replace | Update) for edit in edits)
    assert all(edit.element.type == "B" for edit in edits if isinstance(edit, Insert))
    kept = [child.key for child in old.children if child in new.children]
    assert sum(isinstance(edit, Move) for edit in edits) == len(kept) - longest_common(kept, new)


def longest_common(kept: list[str | None], new: Element) -> int:
    """Return the length of the longest common subsequence, by dynamic programming: the children that need not move."""
    target = [child.key for child in new.children]
    table = [[0] * (len(target) + 1) for _ in range(len(kept) + 1)]
    for i, a in enumerate(kept):
        for j, b in enumerate(target):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if a == b and a is not None else max(table[i][j + 1], table[i + 1][j])
            )
    return table[-1][-1]


@given(trees)
def test_json_gives_the_tree_back(tree: Element) -> None:
    assert from_json(json.loads(json.dumps(to_json(tree)))) == tree
    assert pickle.loads(pickle.dumps(tree)) == tree
    assert hash(from_json(to_json(tree))) == hash(tree)


def test_edits_are_the_ones_expected() -> None:
    old = element("R", element("A", key="a", n=1), element("B"), element("C", key="c"))
    new = element(
        "R", element("C", key="c"), element("A", key="a", n=2, m=3), element("D", element("E")), k=1
    )
    assert diff(old, new) == [
        Update((), {"k": 1}),
        Remove((1,)),
        Insert((2,), element("D", element("E"))),
        Move((0,), 1),
        Update((1,), {"n": 2, "m": 3}),
    ]
    assert diff(element("A"), element("B")) == [Replace((), element("B"))]
    assert diff(element("R", element("A", key="k")), element("R", element("B", key="k"))) == [
        Replace((0,), element("B", key="k"))
    ]


def test_values_of_other_types_are_other_values() -> None:
    for first, second in ((1, 1.0), (1, True), (0.0, -0.0), ((1,), (1.0,)), ({"a": 0}, {"a": False})):
        assert element("A", v=first) != element("A", v=second)
        assert diff(element("A", v=first), element("A", v=second)) == [Update((), {"v": second})]
    nan = float("nan")
    assert diff(element("A", v=nan), element("A", v=float("nan"))) == []
    tensor, other = object(), object()
    assert diff(element("A", v=tensor), element("A", v=tensor)) == []
    assert len(diff(element("A", v=tensor), element("A", v=other))) == 1


# Frozen data ----------------------------------------------------------------------------------------------------


def test_an_element_does_not_change() -> None:
    sizes, options = [1, 2], {"bias": True}
    made = element("Linear", sizes=sizes, options=options)
    sizes.append(3)
    options["bias"] = False
    assert made.props["sizes"] == (1, 2)
    assert made.props["options"] == {"bias": True}
    assert made.props["options"] != {"bias": 1}
    with pytest.raises(FrozenInstanceError):
        made.type = "Other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        made.props["sizes"] = ()  # type: ignore[index]
    assert made.with_(key="k").key == "k"
    assert made.key is None


def test_paths_find_elements_and_name_them() -> None:
    tree = element("Sequential", element("Linear"), element("Parallel", element("Linear", key="head")))
    assert tree.at((1, 0)).key == "head"
    assert [path for path, _ in tree.walk()] == [(), (0,), (1,), (1, 0)]
    assert place(tree, (1, 0)) == "Sequential/Parallel[1]/Linear['head']"
    message = "Sequential/Parallel[1]: child 3 was asked for, expected one of 1"
    with pytest.raises(ArgumentError, match=re.escape(message)):
        tree.at((1, 3))


# Making -----------------------------------------------------------------------------------------------------------


def test_children_may_come_in_lists_and_be_left_out() -> None:
    made = element("R", [element("A"), [element("B")]], None, (element("C") for _ in range(2)))
    assert [child.type for child in made.children] == ["A", "B", "C", "C"]


def test_constructors_know_their_properties() -> None:
    field = constructor("Field", "name", required=["dtype"], optional=["align"])
    made = field("x", element("Note"), dtype="F32", key="k")
    assert made == Element("Field", {"name": "x", "dtype": "F32"}, (Element("Note"),), "k")
    assert field.__name__ == "Field"


@component
def train_step(rate: float, *, deep: bool = False) -> Element:
    return element("Sequential", element("Forward"), element("Backward") if deep else None, rate=rate)


def test_a_component_is_a_function_that_returns_an_element() -> None:
    assert train_step(0.1, key="step") == train_step(rate=0.1).with_(key="step")  # type: ignore[call-arg]
    assert len(train_step(0.1, deep=True).children) == 2

    @component
    def with_own_key(key: str) -> Element:
        return element("A", name=key)

    assert with_own_key(key="k").key is None


def deep(levels: int) -> Element:
    tree = element("A")
    for _ in range(levels - 1):
        tree = element("A", tree)
    return tree


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def deep_json(levels: int) -> Any:
    data: Any = {"type": "A"}
    for _ in range(levels):
        data = {"type": "A", "children": [data]}
    return data


TREE = element("R", element("A", key="a"), element("B", element("C"), n=1))
MISTAKES: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: Element(""), ArgumentTypeError, "element type is '', expected a name"),
    (lambda: element("A", key=3), ArgumentTypeError, "A: key is 3, expected a string or None"),  # type: ignore[arg-type]
    (lambda: element("A", "text"), ArgumentTypeError, "A: child is 'text', expected an Element"),  # type: ignore[arg-type]
    (lambda: Element("A", {}, (1,)), ArgumentTypeError, "A: child 0 is 1, expected an Element"),  # type: ignore[arg-type]
    (lambda: Element("A", 3), ArgumentTypeError, "A: props is 3, expected a mapping"),  # type: ignore[arg-type]
    (lambda: Element("A", {1: 2}), ArgumentTypeError, "property name is 1, expected a string"),  # type: ignore[dict-item]
    (lambda: element("A", element("B", key="k"), element("B"), element("C", key="k")), ArgumentError,
     "A: children 0 and 2 have the key 'k'"),
    (lambda: deep(MOST_LEVELS + 1), ArgumentError, f"the tree is {MOST_LEVELS + 1} levels deep"),
    (lambda: element("A", v=nested(100_000)), ArgumentError, "nested more than"),
    (lambda: constructor("F", "name")(), ArgumentTypeError, "F: property 'name' is missing, expected name"),
    (lambda: constructor("F", "name")("x", nam=1), ArgumentTypeError, "F: property 'nam' was given, expected name"),
    (lambda: constructor("F", "name")("x", name="y"), ArgumentTypeError, "F: property 'name' was given twice"),
    (lambda: component(lambda: 3)(), ArgumentTypeError, "returned 3, expected"),  # type: ignore[arg-type, return-value]
    (lambda: to_json(element("R", element("A", f=[1, len]))), ArgumentTypeError, "R/A[0]: f[1] is <built-in function"),
    (lambda: to_json(element("R", element("A", key="k", f=float("inf")))), ArgumentTypeError, "R/A['k']: f is inf"),
    (lambda: from_json([]), ArgumentTypeError, "root is [], expected an object with a type"),
    (lambda: from_json({"type": "R", "children": [{"type": "A"}, 7]}), ArgumentTypeError, "R/?[1] is 7"),
    (lambda: from_json({"type": "R", "children": [{"type": "A", "kids": []}]}), ArgumentError,
     "R/A[0]: field 'kids' was given, expected children, key, props, type"),
    (lambda: from_json({"type": "R", "children": {}}), ArgumentTypeError, "root: children is {}, expected a list"),
    (lambda: from_json({"type": "R", "children": [{"type": "A", "props": []}]}), ArgumentTypeError,
     "R/A[0]: A: props is [], expected a mapping"),
    (lambda: from_json({"type": "R", "props": {"v": float("nan")}}), ArgumentTypeError, "R: props['v'] is nan"),
    (lambda: from_json(deep_json(5000)), ArgumentError, f"deeper than {MOST_LEVELS} levels"),
    (lambda: apply(TREE, [Remove((1, 4))]), ArgumentError, "R/B[1]: Remove names child 4, expected one of 1"),
    (lambda: apply(TREE, [Remove(())]), ArgumentError, "R: Remove was given for the root, expected a child"),
    (lambda: apply(TREE, [Insert((3,), TREE)]), ArgumentError, "R: Insert names child 3, expected one of 3"),
    (lambda: apply(TREE, [Move((0,), 2)]), ArgumentError, "R: Move goes to 2, expected one of 2"),
    (lambda: apply(TREE, [Update((1,), {}, ("m",))]), ArgumentError, "R/B[1]: property 'm' is to be removed"),
    (lambda: apply(TREE, [Replace((0, 0, 0), TREE)]), ArgumentError, "R/A['a']: Replace names child 0, expected"),
    (lambda: apply(TREE, [Insert((0,), element("X", key="a"))]), ArgumentError, "R: children 0 and 1 have the key 'a'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "error", "message"), MISTAKES, ids=[message[:40] for *_, message in MISTAKES]
)
def test_mistakes_name_the_element(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_the_deepest_tree_allowed_works_everywhere() -> None:
    tree = deep(MOST_LEVELS)
    assert from_json(to_json(tree)) == tree
    assert apply(tree, diff(tree, tree.with_(key="k"))).key == "k"
    assert len(list(tree.walk())) == MOST_LEVELS


def test_elements_stand_alone() -> None:
    code = (
        "import sys, weft.elements; print(*sorted(name for name in sys.modules if name.startswith('weft')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name.split(".")[1] for name in loaded if "." in name} == {"elements", "errors"}
