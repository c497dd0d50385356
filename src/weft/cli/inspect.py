"""``weft inspect``: list the parts of a file as a tree of names, with types, shapes, sizes, and optional statistics."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy

from weft.cli import model_graph, printable
from weft.cli.figures import HEADINGS, figures
from weft.cli.files import Checkpoint, checkpoint, elements, size
from weft.errors import ArgumentError, mistake
from weft.metatensor.composite import ArrayKind, Struct
from weft.metatensor.kinds import Kind, Region, Source
from weft.metatensor.misfit import named
from weft.metatensor.numbers import Boolean, Number
from weft.metatensor.parts import Stored, schema_of_parts
from weft.metatensor.tensors import TensorKind
from weft.metatensor.variable import Indirect

MOST_FIELDS = 100
"""The most fields of a dataset's rows that are listed."""
MOST_CHARACTERS = 60
"""The most characters of a name or a value that are shown."""
MOST_LEVELS = 32
"""The most levels of the tree; further dots stay part of the name."""
READ = 1000
"""The most bytes of a single value that is read and shown."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", help="a .mt, .safetensors or .pt file, or the .index.json of shards")
    parser.add_argument(
        "--match", metavar="PATTERN", help="only parts whose names match, such as 'layers.0.*'"
    )
    parser.add_argument(
        "--depth", type=int, metavar="N", help="levels of names to show; deeper parts are summed up"
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--stats", action="store_true", help="least, largest, mean, standard deviation, NaNs")
    choice.add_argument("--schema", action="store_true", help="print the schema alone, as JSON")
    choice.add_argument(
        "--graph", action="store_true", help="of a language model: its traced graph, node by node"
    )
    choice.add_argument("--graph-json", action="store_true", help="the same as JSON")
    choice.add_argument("--metadata", action="store_true", help="print the metadata alone, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the report of a file."""
    if arguments.depth is not None and arguments.depth < 1:
        raise ArgumentError(mistake("inspect", "--depth", arguments.depth, "1 or more"))
    if arguments.graph or arguments.graph_json:
        print(model_graph.shown(arguments.file, arguments.graph_json))
        return 0
    with checkpoint(arguments.file, arguments.match) as opened:
        if arguments.schema:
            print(json.dumps(schema_of_parts(opened.files, opened.parts.keys()), indent=2))
        elif arguments.metadata:
            print(json.dumps(opened.metadata, indent=2))
        else:
            for line in report(opened, arguments.stats, arguments.depth):
                print(line)
    return 0


@dataclass(frozen=True)
class Line:
    """A line of the tree: the name within its parent, the level, and further columns."""

    name: str
    level: int
    type: str = ""
    bytes: str = ""
    more: tuple[str, ...] = ()


def report(opened: Checkpoint, stats: bool = False, depth: int | None = None) -> Iterator[str]:
    """Iterate over the lines that describe a file: a summary, the tree of its parts, and the names of its metadata.

    ``depth``: the levels of names to show; a group at the last level shows its number of parts and bytes.
    """
    lines = list(
        _tree(opened, stats) if depth is None else _groups(opened, depth)
    )  # a list, so that an error comes before the first line
    yield _summary(opened)
    if stats:
        lines.insert(0, Line("", 0, "", "", HEADINGS))
    columns = [(line.type, line.bytes, *line.more) for line in lines]
    widths = [
        max((len(row[at]) for row in columns if at < len(row)), default=0) for at in range(2 + len(HEADINGS))
    ]
    first = max((2 * line.level + len(line.name) for line in lines), default=0)
    for line, (type, *numbers) in zip(lines, columns, strict=True):
        cells = [f"{'  ' * line.level + line.name:<{first}}", f"{type:<{widths[0]}}"]
        cells += [f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=False)]
        yield "  ".join(cells).rstrip()
    metadata = opened.metadata
    if metadata:
        yield f"metadata: {', '.join(map(_name, metadata))}"


def _summary(opened: Checkpoint) -> str:
    parts = opened.parts.values()
    tensors = [kind for part in parts if isinstance(kind := part.file.kinds[part.name], TensorKind)]
    format = "safetensors" if opened.is_safetensors else "metatensor"
    where = f" in {len(opened.files)} shards" if len(opened.files) > 1 else ""
    total = size(sum(file.size + file.start for file in opened.files))
    return (
        f"{printable(str(opened.path))}: {format}{where}, {total}; {len(parts)} parts, {len(tensors)} of them "
        f"tensors with {sum(map(elements, tensors)):,} elements"
    )


def _tree(opened: Checkpoint, stats: bool) -> Iterator[Line]:
    """Iterate over a line for each part, with a line for each group before its first part."""
    rows: list[tuple[str, Stored | str]] = list(opened.parts.items())
    rows += [(name, "None") for name in opened.nones]
    rows += [(name, f"same as {_name(other)}") for name, other in opened.shared.items()]
    known: list[str] = []
    for name, part in _together(rows):
        *groups, last = map(_name, name.split(".", MOST_LEVELS))
        same = next((at for at, pair in enumerate(zip(known, groups, strict=False)) if pair[0] != pair[1]),
                    min(len(known), len(groups)))  # fmt: skip
        for level in range(same, len(groups)):
            yield Line(groups[level], level)
        known = groups
        if isinstance(part, str):
            yield Line(last, len(groups), part)
        else:
            yield from _part(part, last, len(groups), stats)


def _groups(opened: Checkpoint, depth: int) -> Iterator[Line]:
    """Iterate over a line for each group of the first levels, with its parts and bytes; higher parts get their line."""
    groups: dict[tuple[str, ...], list[Stored]] = {}
    for name, part in opened.parts.items():
        groups.setdefault(tuple(name.split(".", MOST_LEVELS)[:depth]), []).append(part)
    for group, parts in groups.items():
        name = _name(".".join(group))
        if len(parts) == 1 and parts[0].name.count(".") < depth:
            yield from _part(parts[0], name, 0, False)
        else:
            yield Line(name, 0, f"{len(parts):,} parts", f"{sum(part.nbytes for part in parts):,}")


def _together(rows: list[tuple[str, Stored | str]]) -> Iterator[tuple[str, Stored | str]]:
    """Iterate over the rows with each group's names adjacent, groups in the order of their first names."""
    order: dict[str, Any] = {}
    for name, part in rows:
        inner = order
        *groups, last = name.split(".", MOST_LEVELS)
        for group in groups:
            inner = inner.setdefault(group + ".", {})
        inner[last] = name, part
    stack = [iter(order.values())]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif isinstance(entry, dict):
            stack.append(iter(entry.values()))
        else:
            yield entry


def _part(part: Stored, name: str, level: int, stats: bool) -> Iterator[Line]:
    kind, length = part.file.kinds[part.name], f"{part.nbytes:,}"
    type = _type(kind)
    if isinstance(kind, TensorKind):
        yield Line(name, level, type, length, figures(part.file[part.name]) if stats else ())
    elif isinstance(kind, ArrayKind) and isinstance(kind.item, Struct) and kind.item.size is not None:
        rows = part.file.records(part.name)
        yield Line(name, level, f"{len(rows):,} rows of {kind.item.stride} bytes", length)
        for field in rows.kind.fields[:MOST_FIELDS]:
            more = figures(rows.array_unchecked[field.name]) if stats else ()
            yield Line(_name(field.name), level + 1, _type(field.kind), "", more)
        if len(rows.kind.fields) > MOST_FIELDS:
            yield Line(f"and {len(rows.kind.fields) - MOST_FIELDS:,} more", level + 1)
    elif isinstance(kind, ArrayKind):
        with named(part.file.path, part.name):
            count, _ = kind.start(
                Source(part.file.data(*part.file.offsets[part.name]), Region.of(memoryview(b""))), 0
            )
        array = stats and kind.item.size is not None and isinstance(kind.item, Number | Boolean)
        more = figures(numpy.asarray(part.file[part.name])) if array else ()
        yield Line(name, level, f"{count:,} of {_type(kind.item)}", length, more)
    else:
        shown = f" = {_value(part.file[part.name])}" if part.nbytes <= READ else ""
        yield Line(name, level, type + shown, length)


def _type(kind: Kind) -> str:
    """Return the type of a value, without the index through which it is found."""
    return printable((kind.target if isinstance(kind, Indirect) else kind).describe())


def _value(value: Any) -> str:
    text = printable(repr(value))
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"


def _name(text: str) -> str:
    """Return a name as it is shown: shortened, and without control characters."""
    return printable(text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…")
