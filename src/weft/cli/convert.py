"""``weft convert``: safetensors to metatensor and back, into shards and out of them, one tensor after another."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from weft import metatensor as mt
from weft.cli.files import Checkpoint, checkpoint
from weft.errors import ArgumentError, FormatError, mistake
from weft.io import shards
from weft.io.files import METATENSOR, SAFETENSORS
from weft.io.trees import NOTES, Encoder, decoded
from weft.metatensor.parts import Stored, copy
from weft.metatensor.tensors import TensorKind

TEXTS = "a text: safetensors holds no other metadata"
TENSORS = "a tensor: safetensors holds no others"


def options(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("source", help="a .mt, .safetensors or .pt file, or the .index.json of shards")
    parser.add_argument("target", help="the file to write; its suffix, .mt or .safetensors, says the format")
    parser.add_argument(
        "--max-shard-size", metavar="SIZE", help="spread over files of at most so much: 5GB, 500MiB"
    )
    parser.add_argument("--match", metavar="PATTERN", help="only parts whose names fit, such as 'model.*'")
    parser.add_argument("--force", action="store_true", help="replace a target that is there")


def run(arguments: argparse.Namespace) -> int:
    """Convert; nothing is written where the target cannot hold all that the source has."""
    target = Path(arguments.target)
    suffix = target.suffix.lower()
    if suffix not in (*SAFETENSORS, *METATENSOR):
        raise ArgumentError(
            mistake(
                "convert",
                "target",
                repr(arguments.target),
                "a name that ends in .mt or .safetensors",
                "the suffix says which format to write",
            )
        )
    there = next(
        (path for path in (target, target.with_name(target.name + shards.INDEX)) if path.exists()), None
    )
    if there is not None and not arguments.force:
        raise ArgumentError(f"convert: {str(there)!r} is there already; --force replaces it")
    limit = None if arguments.max_shard_size is None else shards.size_of(arguments.max_shard_size)
    with checkpoint(arguments.source, arguments.match) as source:
        write = to_safetensors if suffix in SAFETENSORS else to_metatensor
        write(source, target, limit)
    return 0


def to_safetensors(source: Checkpoint, target: Path, limit: int | None = None) -> None:
    """Write tensors under their names, which are their paths; ``FormatError`` names what is no tensor, or no text."""
    metadata = source.metadata
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise FormatError(mistake(f"{str(source.path)!r}", f"metadata {name!r}", repr(value)[:80], TEXTS))
    parts = source.parts
    ours = not source.is_safetensors and (source.notes or any("%" in name for name in parts))  # escaped keys
    tensors = flat(source) if ours else {name: pending(part) for name, part in parts.items()}
    # other tools open only files that name a framework
    shards.write(
        target, {(name,): tensor for name, tensor in tensors.items()}, {"format": "pt", **metadata}, {}, limit
    )


def to_metatensor(source: Checkpoint, target: Path, limit: int | None = None) -> None:
    """Write a state dict as ``weft.save`` would; parts of metatensor files go over byte by byte, types with them."""
    if any(file.is_safetensors for file in source.files):
        tree = Encoder({name: pending(part) for name, part in source.parts.items()})
        shards.write(target, tree.parts, source.metadata, {NOTES: tree.notes}, limit)
        return
    own = {NOTES: source.notes} if source.notes else {}
    stored: dict[tuple[str, ...], Stored] = {(name,): part for name, part in source.parts.items()}
    shards.write(target, stored, source.metadata, own, limit, write_one=_copied)


def _copied(path: Path, parts: Mapping[tuple[str, ...], Any], metadata: Mapping[str, Any]) -> None:
    copy(path, {".".join(name): part for name, part in parts.items()}, metadata)


def pending(part: Stored, name: str | None = None) -> mt.Pending:
    """A tensor of a file, read when its turn comes; ``FormatError`` where the part is none."""
    kind = part.file.kinds[part.name]
    if not isinstance(kind, TensorKind):
        raise FormatError(
            mistake(repr(part.file.path), repr(name or part.name)[:200], kind.describe(), TENSORS)
        )
    return mt.Pending(kind.name, kind.shape, lambda: part.file[part.name])


def flat(source: Checkpoint) -> dict[str, mt.Pending]:
    """The tensors of a tree that ``weft.save`` wrote, under the keys on their way joined by dots.

    Lists and dicts with numbers for keys become names with numbers. Raises ``FormatError`` naming what is no tensor
    (None and empty containers among it), and where two have one name.
    """
    parts = {tuple(name.split(".")): part for name, part in source.parts.items()}
    found: dict[str, mt.Pending] = {}
    for path, value in _leaves(decoded(parts, source.notes, f"{str(source.path)!r}"), ()):
        name = ".".join(path)
        if not isinstance(value, Stored):
            raise FormatError(
                mistake(
                    repr(str(source.path)),
                    repr(name)[:200],
                    repr(value),
                    TENSORS,
                )
            )
        if name in found:
            raise FormatError(
                mistake(repr(str(source.path)), repr(name)[:200], "the name of two tensors", "one")
            )
        found[name] = pending(value, name)
    return found


def _leaves(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, dict) and (tree or not path):
        for key, value in tree.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(tree, list | tuple) and (tree or not path):
        for at, value in enumerate(tree):
            yield from _leaves(value, (*path, str(at)))
    else:
        yield path, tree
