"""``weft diff``: list what was added, removed and changed between two files; with ``--values`` compare values too.

The exit status is that of ``diff``: 0 for no difference, 1 for differences, 2 for a file that cannot be read.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy

from weft import metatensor as mt
from weft.cli import printable
from weft.cli.figures import differing
from weft.cli.files import Checkpoint, checkpoint
from weft.elements import Element
from weft.metatensor.components import from_schema
from weft.metatensor.misfit import short
from weft.metatensor.parts import Stored
from weft.metatensor.tensors import TensorKind

FAILED = 2


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("old", help="a .mt or .safetensors file, or the .index.json of shards")
    parser.add_argument("new", help="the file to compare it with, in either format")
    parser.add_argument(
        "--values", action="store_true", help="compare values too: how many differ, and by how much at most"
    )
    parser.epilog = (
        "Without --values names, types and shapes are compared. Exit status: 0 no difference, 1 differences, "
        "2 a file cannot be read."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the differences; return 1 if there are any."""
    status = 0
    with checkpoint(arguments.old) as old, checkpoint(arguments.new) as new:
        for line in differences(old, new, arguments.values):
            print(printable(line))
            status = 1
    return status


def differences(old: Checkpoint, new: Checkpoint, values: bool = False) -> Iterator[str]:
    """Iterate over lines: ``+`` added, ``-`` removed, ``~`` another type, ``>`` moved, ``!`` other values."""
    delta = mt.diff(_types(old), _types(new))
    added, removed, changed = dict(delta.added), dict(delta.removed), dict(delta.changed)
    before, after = set(old.nones), set(new.nones)
    added.update(dict.fromkeys(sorted(after - before), "None"))
    removed.update(dict.fromkeys(sorted(before - after), "None"))
    for name in [name for name in added if name in removed]:  # a value replaced None, or the reverse
        changed[name] = removed.pop(name), added.pop(name)
    for sign, parts in (("+", added), ("-", removed)):
        yield from (f"{sign} {name}: {type}" for name, type in parts.items())
    yield from (f"~ {name}: {first} → {second}" for name, (first, second) in changed.items())
    yield from (f"> {name}" for name in delta.moved)
    if values:
        others = new.named
        for name, part in old.named.items():
            if name in others and _comparable(part, others[name], name in changed):
                yield from compared(name, part.file[part.name], others[name].file[others[name].name])


def _types(opened: Checkpoint) -> Element:
    """Return the parts of all files as fields of one struct, sorted by name: their order in the file is irrelevant."""
    leaves: dict[str, Element] = {}
    for file in opened.files:
        stack = [(child, [str(child.key)]) for child in from_schema(file.schema).children]
        while stack:
            node, path = stack.pop()
            if node.type == "Struct":
                stack += [(child, [*path, str(child.key)]) for child in node.children]
            else:
                leaves[".".join(path)] = node
    fields = {name: leaves[part.name].with_(key=name) for name, part in opened.named.items()}
    return Element("Struct", {}, tuple(fields[name] for name in sorted(fields)))


def _comparable(old: Stored, new: Stored, changed: bool) -> bool:
    """Return whether values can be compared: their types are equal, and so are the shapes of tensors."""
    before, after = old.file.kinds[old.name], new.file.kinds[new.name]
    if isinstance(before, TensorKind) and isinstance(after, TensorKind):
        return before.shape == after.shape
    return not changed and type(before) is type(after)


def compared(name: str, old: Any, new: Any) -> Iterator[str]:
    """Iterate over lines about differing values of the same type; datasets are compared field by field."""
    if isinstance(old, numpy.ndarray) and isinstance(new, numpy.ndarray) and old.dtype.names is None:
        if old.shape != new.shape:
            yield f"! {name}: {len(old):,} values → {len(new):,}"
            return
        count, largest = differing(old, new)
        if count:
            distance = "" if math.isnan(largest) else f", by {largest:.6g} at most"
            yield f"! {name}: {count:,} of {old.size:,} elements differ{distance}"
    elif isinstance(old, mt.Records | mt.Blob | list):
        if len(old) != len(new):
            unit = "rows" if isinstance(old, mt.Records) else "values"
            yield f"! {name}: {len(old):,} {unit} → {len(new):,}"
        elif isinstance(old, mt.Records):
            for field in old.kind.by_name:
                yield from compared(f"{name}.{field}", old.column(field), new.column(field))
        elif count := sum(not _same(old[at], new[at]) for at in range(len(old))):
            yield f"! {name}: {count:,} of {len(old):,} values differ"
    elif not _same(old, new):
        yield f"! {name}: {short(repr(old))} → {short(repr(new))}"


def _same(old: Any, new: Any) -> bool:
    """Return whether two values are equal; NaN equals NaN."""
    if isinstance(old, numpy.ndarray):
        return bool(old.shape == new.shape and differing(old, new)[0] == 0)
    if isinstance(old, Mapping):
        return old.keys() == new.keys() and all(_same(value, new[key]) for key, value in old.items())
    if isinstance(old, list | mt.Blob | mt.Records):
        return len(old) == len(new) and all(map(_same, old, new))
    return bool(old == new or (old != old and new != new))
