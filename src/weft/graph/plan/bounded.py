"""``bounded``: bounds checks for the kernels of graphs from files.

The rules of ops keep the kernels of traced graphs in bounds. A graph from a file may combine operands that no function
would accept. So every index of a derived kernel is proved to be in range from the ranges of its axes; an index without
a proof, such as an index from data, is clamped. For a graph that a trace has made, clamping changes no result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from weft.errors import UnsupportedError, mistake
from weft.expr import Expr, call, const, transform, walk
from weft.expr.node import INDEX, LOADS
from weft.graph.fuse.products import SIDES
from weft.graph.lower.lowered import KernelCall, Lowered
from weft.graph.rewriting.parts import size
from weft.graph.rewriting.renaming import ROUND, mapped_part
from weft.kernels import Axis, Kernel, Library, Part, Store

Range = tuple[int, int]
Ranges = Mapping[Expr, Range]


def bounded(lowered: Lowered) -> Lowered:
    """Return the lowered graph with every load and store of derived kernels in bounds."""
    elements = {value.name: value.elements for value in lowered.values}
    return replace(lowered, calls=_calls(lowered.calls, elements, 1))


def _calls(calls: Sequence[Any], elements: Mapping[str, int], times: int) -> tuple[Any, ...]:
    return tuple(
        _call(call, elements, times) if isinstance(call, KernelCall) else _block(call, elements)
        for call in calls
    )


def _block(block: Any, elements: Mapping[str, int]) -> Any:
    """Return a block with its runs of calls bounded."""
    runs = {field.name: getattr(block, field.name) for field in fields(block)}
    held = {
        name: _calls(run, elements, runs.get("times", 0))
        for name, run in runs.items()
        if isinstance(run, tuple) and not all(isinstance(name, str) for name in run)
    }
    return replace(block, **held)


def _call(given: KernelCall, elements: Mapping[str, int], times: int) -> KernelCall:
    kernel = given.kernel
    if isinstance(kernel, Kernel):
        counts = {
            buffer.name: elements[name] for buffer, name in zip(kernel.buffers, given.values, strict=True)
        }
        known: dict[Expr, Range] = {}
        if kernel.parameters and given.advance and times:
            start = int(given.arguments[0])
            last = start + given.advance[0] * (times - 1)
            known[ROUND] = (min(start, last), max(start, last))
        parts = tuple(_part(part, counts, known, given, kernel.vector > 1) for part in kernel.parts)
        return given if parts == kernel.parts else replace(given, kernel=replace(kernel, parts=parts))
    if isinstance(kernel, Library) and kernel.epilogue is not None:
        names = dict(zip(SIDES, given.values, strict=False))
        rest = zip(kernel.epilogue.buffers, given.values[len(SIDES) :], strict=True)
        counts = {
            key: elements[name]
            for key, name in (*names.items(), *((buffer.name, name) for buffer, name in rest))
        }
        part = _part(kernel.epilogue.part, counts, {}, given, False)
        return replace(given, kernel=replace(kernel, epilogue=replace(kernel.epilogue, part=part)))
    return given


def _part(part: Part, counts: Mapping[str, int], known: Ranges, given: KernelCall, exact: bool) -> Part:
    axes: tuple[Axis, ...] = (*part.axes, *part.reduce_axes)
    if any(size(axis) < 1 for axis in axes):
        return part  # the index space is empty
    ranges = {**known, **{axis.variable: (0, size(axis) - 1) for axis in axes}}

    def change(root: Expr) -> Expr:
        return _within(root, counts, ranges, given, exact)

    made = mapped_part(part, change)
    stores = tuple(
        Store(
            store.buffer,
            _held(store.index, counts[store.buffer], ranges, given, exact),
            store.value,
            store.inner,
        )
        for store in made.stores
    )
    return replace(made, stores=stores)


def _within(root: Expr, counts: Mapping[str, int], ranges: Ranges, given: KernelCall, exact: bool) -> Expr:
    """Return an expression with all loads in bounds."""

    def change(node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.function == "load":
            args = (_held(args[0], counts[node.data], ranges, given, exact),)
        return node.rebuild(args)

    return transform(root, change, wanted=LOADS)


def _held(index: Expr, count: int, ranges: Ranges, given: KernelCall, exact: bool) -> Expr:
    """Return an index unchanged where it is proved to be in range, else clamped; with ``exact``, raise instead."""
    found = _range(index, ranges)
    if found is not None and found[0] >= 0 and found[1] < count:
        return index
    if exact or count < 1:
        where = f" (at {given.site})" if given.site else ""
        raise UnsupportedError(
            mistake(
                f"{'+'.join(given.ops)}{where}",
                "an index",
                index,
                f"an index into a value of {count} elements",
            )
        )
    return call("maximum", call("minimum", index, const(count - 1, INDEX)), const(0, INDEX))


def _range(root: Expr, ranges: Ranges) -> Range | None:
    """Return the least and the largest value of an integer expression; ``None`` where they are unknown."""
    done: dict[Expr, Range | None] = {}
    for node in walk(root):
        done[node] = _of(node, done, ranges)
    return done[root]


def _of(node: Expr, done: Mapping[Expr, Range | None], ranges: Ranges) -> Range | None:
    if node in ranges:
        return ranges[node]
    if node.function == "const" and node.dtype.is_integer:
        return int(node.data), int(node.data)
    rule = _RULES.get(node.function)
    args = [done[arg] for arg in (node.args[1:] if node.function == "where" else node.args)]
    if rule is None or not node.dtype.is_integer or None in args:
        return None
    found: Range | None = rule(*args)
    return found


def _product(a: Range, b: Range) -> Range:
    products = [x * y for x in a for y in b]
    return min(products), max(products)


def _quotient(a: Range, b: Range) -> Range | None:
    """Return the range of an integer quotient that is rounded towards zero."""
    if b[0] <= 0:
        return None
    quotients = [abs(x) // y * (1 if x >= 0 else -1) for x in a for y in b]
    return min(quotients), max(quotients)


def _remainder(a: Range, b: Range) -> Range | None:
    if b[0] <= 0:
        return None
    most = b[1] - 1
    return (max(a[0], -most) if a[0] < 0 else 0), (min(a[1], most) if a[1] > 0 else 0)


_RULES: dict[str, Any] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "neg": lambda a: (-a[1], -a[0]),
    "mul": _product,
    "idiv": _quotient,
    "irem": _remainder,
    "where": lambda a, b: (min(a[0], b[0]), max(a[1], b[1])),
    "minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
}
