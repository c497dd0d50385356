"""``weft convert``: convert between safetensors and metatensor, and between a single file and shards."""

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
    """Add the command's arguments."""
    parser.add_argument("source", help="a .mt, .safetensors or .pt file, or the .index.json of shards")
    parser.add_argument("target", help="the file to write; its suffix, .mt or .safetensors, says the format")
    parser.add_argument(
        "--max-shard-size", metavar="SIZE", help="write shards of at most this size: 5GB, 500MiB"
    )
    parser.add_argument("--match", metavar="PATTERN", help="only parts whose names match, such as 'model.*'")
    parser.add_argument("--force", action="store_true", help="replace an existing target")


def run(arguments: argparse.Namespace) -> int:
    """Convert; nothing is written if the target's format cannot hold all of the source."""
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
    existing = next(
        (path for path in (target, target.with_name(target.name + shards.INDEX)) if path.exists()), None
    )
    if existing is not None and not arguments.force:
        raise ArgumentError(f"convert: {str(existing)!r} is there already; --force replaces it")
    limit = None if arguments.max_shard_size is None else shards.size_of(arguments.max_shard_size)
    with checkpoint(arguments.source, arguments.match) as source:
        write = to_safetensors if suffix in SAFETENSORS else to_metatensor
        write(source, target, limit)
    return 0


def to_safetensors(source: Checkpoint, target: Path, limit: int | None = None) -> None:
    """Write tensors under their paths; ``FormatError`` names a part that is no tensor or metadata that is no text."""
    metadata = source.metadata
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise FormatError(mistake(f"{str(source.path)!r}", f"metadata {name!r}", repr(value)[:80], TEXTS))
    parts = source.parts
    is_tree = not source.is_safetensors and (
        source.notes or any("%" in name for name in parts)
    )  # escaped keys
    tensors = flat(source) if is_tree else {name: pending(part) for name, part in parts.items()}
    # other tools open only files that name a framework
    shards.write(
        target, {(name,): tensor for name, tensor in tensors.items()}, {"format": "pt", **metadata}, {}, limit
    )


def to_metatensor(source: Checkpoint, target: Path, limit: int | None = None) -> None:
    """Write a state dict as ``weft.save`` would; parts of metatensor files are copied with their types and bytes."""
    if any(file.is_safetensors for file in source.files):
        tree = Encoder({name: pending(part) for name, part in source.parts.items()})
        shards.write(target, tree.parts, source.metadata, {NOTES: tree.notes}, limit)
        return
    notes = {NOTES: source.notes} if source.notes else {}
    stored: dict[tuple[str, ...], Stored] = {(name,): part for name, part in source.parts.items()}
    shards.write(target, stored, source.metadata, notes, limit, write_file=_copied)


def _copied(path: Path, parts: Mapping[tuple[str, ...], Any], metadata: Mapping[str, Any]) -> None:
    copy(path, {".".join(name): part for name, part in parts.items()}, metadata)


def pending(part: Stored, name: str | None = None) -> mt.Pending:
    """Return a tensor of a file, to be read when it is written; raise ``FormatError`` if the part is no tensor."""
    kind = part.file.kinds[part.name]
    if not isinstance(kind, TensorKind):
        raise FormatError(
            mistake(repr(part.file.path), repr(name or part.name)[:200], kind.describe(), TENSORS)
        )
    return mt.Pending(kind.name, kind.shape, lambda: part.file[part.name])


def flat(source: Checkpoint) -> dict[str, mt.Pending]:
    """Return the tensors of a tree that ``weft.save`` wrote, by the keys from the root joined by dots.

    Positions in lists and integer keys become parts of the names. Raises ``FormatError`` naming a value that is no
    tensor (None or an empty container, too), and for two tensors with the same name.
    """
    parts = {tuple(name.split(".")): part for name, part in source.parts.items()}
    tensors: dict[str, mt.Pending] = {}
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
        if name in tensors:
            raise FormatError(
                mistake(repr(str(source.path)), repr(name)[:200], "the name of two tensors", "one")
            )
        tensors[name] = pending(value, name)
    return tensors


def _leaves(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, dict) and (tree or not path):
        for key, value in tree.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(tree, list | tuple) and (tree or not path):
        for at, value in enumerate(tree):
            yield from _leaves(value, (*path, str(at)))
    else:
        yield path, tree
