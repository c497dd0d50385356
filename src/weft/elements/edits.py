"""The edits that turn an element tree into another. Children match by key; children without a key by type and order.

Edits are data and apply in order: the path of an edit refers to the tree after the edits before it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weft.elements.tree import Element, Path, Properties, place, same
from weft.errors import ArgumentError


@dataclass(frozen=True)
class Insert:
    """Insert ``element`` as the child at ``path``; the indices of later siblings grow by 1."""

    path: Path
    element: Element


@dataclass(frozen=True)
class Remove:
    """Remove the element at ``path`` with all its descendants."""

    path: Path


@dataclass(frozen=True)
class Move:
    """Move the element at ``path`` to child index ``to`` of the same parent (its index after the move)."""

    path: Path
    to: int


@dataclass(frozen=True)
class Replace:
    """Replace the element at ``path``, with all its descendants, by ``element``."""

    path: Path
    element: Element


@dataclass(frozen=True)
class Update:
    """Set the properties ``changed`` of the element at ``path``, and remove the properties ``removed``."""

    path: Path
    changed: Mapping[str, Any]
    removed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "changed", Properties(self.changed))


Edit = Insert | Remove | Move | Replace | Update


def diff(old: Element, new: Element) -> list[Edit]:
    """Return edits such that ``apply(old, edits) == new``; an empty list for equal trees.

    An element whose type and key stay the same is updated, else replaced. The number of moves of common children is
    minimal.

    >>> old = Element("Sequential", {}, (Element("Linear", {"features": 8}, key="a"), Element("ReLU")))
    >>> new = Element("Sequential", {}, (Element("ReLU"), Element("Linear", {"features": 9}, key="a")))
    >>> diff(old, new)
    [Move(path=(0,), to=1), Update(path=(1,), changed={'features': 9}, removed=())]
    """
    return list(_diff(old, new, ()))


def _diff(old: Element, new: Element, path: Path) -> Iterator[Edit]:
    if old is new:
        return
    if old.type != new.type or old.key != new.key:
        yield Replace(path, new)
        return
    changed = {
        name: value
        for name, value in new.props.items()
        if name not in old.props or not same(value, old.props[name])
    }
    removed = tuple(name for name in old.props if name not in new.props)
    if changed or removed:
        yield Update(path, changed, removed)
    yield from _diff_children(old.children, new.children, path)


def _diff_children(old: Sequence[Element], new: Sequence[Element], path: Path) -> Iterator[Edit]:
    """Yield removals from last to first, then the moves and insertions of ``new``'s children, from last to first."""
    before, after = _identities(old), _identities(new)
    matched = dict(zip(before, old, strict=True))
    wanted = set(after)
    for index in reversed(range(len(before))):
        if before[index] not in wanted:
            yield Remove((*path, index))
    current = [identity for identity in before if identity in wanted]
    steady = _in_order(current, after)
    place_of_successor = len(current)
    for identity, child in reversed(list(zip(after, new, strict=True))):
        if identity not in matched:
            yield Insert((*path, place_of_successor), child)
            current.insert(place_of_successor, identity)
            continue
        index = current.index(identity)
        if identity not in steady:
            to = place_of_successor - (index < place_of_successor)
            if to != index:
                yield Move((*path, index), to)
                current.insert(to, current.pop(index))
            index = to
        place_of_successor = index
    for index, (identity, child) in enumerate(zip(after, new, strict=True)):
        if identity in matched:
            yield from _diff(matched[identity], child, (*path, index))


def _identities(children: Sequence[Element]) -> list[Hashable]:
    """Return the identity of each child among its siblings: its key, or its type and its number within the type."""
    counts: dict[str, int] = {}
    found: list[Hashable] = []
    for child in children:
        if child.key is not None:
            found.append((child.key,))
        else:
            counts[child.type] = counts.get(child.type, 0) + 1
            found.append((child.type, counts[child.type]))
    return found


def _in_order(current: Sequence[Hashable], target: Sequence[Hashable]) -> set[Hashable]:
    """Return a longest subsequence of ``current`` in the order of ``target``: a longest increasing subsequence."""
    rank = {identity: index for index, identity in enumerate(target)}
    tails: list[int] = []  # tails[n]: the least rank that ends a subsequence of n + 1 items
    chain: list[
        tuple[Hashable, int]
    ] = []  # an item, and the index of its predecessor in the chain, -1 for none
    ends: list[int] = []  # ends[n]: the index in the chain of the item with rank tails[n]
    for identity in current:
        length = bisect_left(tails, rank[identity])
        chain.append((identity, ends[length - 1] if length else -1))
        tails[length : length + 1] = [rank[identity]]
        ends[length : length + 1] = [len(chain) - 1]
    kept: set[Hashable] = set()
    index = ends[-1] if ends else -1
    while index >= 0:
        identity, index = chain[index]
        kept.add(identity)
    return kept


def apply(tree: Element, edits: Iterable[Edit]) -> Element:
    """Return the tree after the edits.

    Raises:
        ArgumentError: For an edit whose path leaves the tree; the message names the place.
    """
    for edit in edits:
        tree = _applied(tree, tree, edit, ())
    return tree


def _applied(tree: Element, node: Element, edit: Edit, done: Path) -> Element:
    """Return ``node``, which has the path ``done``, after an edit at or below it."""
    rest = edit.path[len(done) :]
    if not rest:
        if isinstance(edit, Replace):
            return edit.element
        if isinstance(edit, Update):
            return _updated(tree, node, edit)
        raise ArgumentError(
            f"{place(tree, done)}: {type(edit).__name__} was given for the root, expected a child"
        )
    index, children = rest[0], list(node.children)
    last = len(rest) == 1
    end = len(children) + (last and isinstance(edit, Insert))
    if not 0 <= index < end:
        raise ArgumentError(
            f"{place(tree, done)}: {type(edit).__name__} names child {index}, expected one of {end}"
        )
    if last and isinstance(edit, Insert):
        children.insert(index, edit.element)
    elif last and isinstance(edit, Remove):
        del children[index]
    elif last and isinstance(edit, Move):
        if not 0 <= edit.to < len(children):
            raise ArgumentError(
                f"{place(tree, done)}: Move goes to {edit.to}, expected one of {len(children)}"
            )
        children.insert(edit.to, children.pop(index))
    else:
        children[index] = _applied(tree, children[index], edit, (*done, index))
    return node.with_(children=tuple(children))


def _updated(tree: Element, node: Element, edit: Update) -> Element:
    for name in edit.removed:
        if name not in node.props:
            raise ArgumentError(
                f"{place(tree, edit.path)}: property {name!r} is to be removed, but there is none"
            )
    kept = {name: value for name, value in node.props.items() if name not in edit.removed}
    return node.with_(props={**kept, **edit.changed})
