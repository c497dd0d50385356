"""What ``inspect``, ``convert`` and ``diff`` know of a file: its parts by name, over all shards, none of them read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from weft import metatensor as mt
from weft.errors import ArgumentError, FormatError, mistake
from weft.io import shards
from weft.io.files import is_pytorch, load, save
from weft.io.trees import DOTTED, NONE, NOTES, NUMBERED, SAME
from weft.metatensor.kinds import Kind
from weft.metatensor.parts import Stored
from weft.metatensor.regular import open_regular
from weft.metatensor.tensors import TensorKind


@dataclass(frozen=True)
class Checkpoint:
    """One file, or the shards behind an index, open."""

    path: Path
    files: list[mt.File]
    notes: dict[str, str]
    """What ``weft.save`` noted on the tree, by path; empty for files of others."""
    pattern: str | None = None
    """Which names are looked at: ``fnmatch``'s ``* ? [...]``; ``None`` for all."""

    @property
    def parts(self) -> dict[str, Stored]:
        """The parts of all files by name, in order; those that fit the pattern, where there is one."""
        return {
            name: Stored(file, name)
            for file in self.files
            for name in file
            if self.pattern is None or fnmatchcase(name, self.pattern)
        }

    @property
    def is_safetensors(self) -> bool:
        """Whether all of its files are safetensors files."""
        return all(file.is_safetensors for file in self.files)

    @property
    def nones(self) -> list[str]:
        """Where the tree holds None, which is no part of a file."""
        return [name for name, note in self.notes.items() if note == NONE]

    @property
    def shared(self) -> dict[str, str]:
        """Names of a tensor that is stored under another name, which is given."""
        return {name: note.removeprefix(SAME) for name, note in self.notes.items() if note.startswith(SAME)}

    @property
    def named(self) -> dict[str, Stored]:
        """``parts``, those that share a tensor with another under their own names too."""
        parts = self.parts
        for name, other in self.shared.items():
            if other not in parts or name in parts:
                raise FormatError(
                    mistake(
                        f"{str(self.path)!r}",
                        f"note of {name!r}"[:200],
                        repr(other)[:200],
                        "the path of a part",
                    )
                )
            parts[name] = Stored(parts[other].file, other)
        return parts

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of all files, without weft's own; ``FormatError`` where shards say different things."""
        found: dict[str, Any] = {}
        for file in self.files:
            for name, value in file.metadata.items():
                if name == NOTES:
                    continue
                if found.setdefault(name, value) != value:
                    raise FormatError(
                        mistake(f"{file.path!r}", f"metadata {name!r}", repr(value)[:80],
                                f"{found[name]!r:.80}, as in the shards before")
                    )  # fmt: skip
        return found


@contextmanager
def checkpoint(path: str, pattern: str | None = None) -> Iterator[Checkpoint]:
    """Open a file, an index of shards, or the shards that were saved under a name.

    With a ``pattern`` only the parts whose names fit it count; ``ArgumentError`` where none does.
    """
    with _as_metatensor(Path(path)) as source, shards.read(source) as (files, notes):
        texts = isinstance(notes, Mapping) and all(isinstance(note, str) for note in notes.values())
        if notes is not None and not texts:
            raise FormatError(mistake(f"{path!r}", f"metadata {NOTES!r}", repr(notes)[:80], "texts by path"))
        found = Checkpoint(Path(path), files, dict(notes or {}), pattern)
        if pattern is not None:
            if not found.parts:
                raise ArgumentError(
                    mistake(f"{path!r}", "--match", repr(pattern), "a pattern that fits the name of a part")
                )
            found = replace(found, notes=_notes_of(found))
        yield found


def _notes_of(found: Checkpoint) -> dict[str, str]:
    """The notes on the parts that fit, and on what they lie in; lists of which a part is left are no lists any more."""
    names = set(found.parts)
    return {
        path: note
        for path, note in found.notes.items()
        if path in names
        or note in (DOTTED, NUMBERED)
        and any(name.startswith(f"{path}.") or not path for name in names)
    }


@contextmanager
def _as_metatensor(source: Path) -> Iterator[Path]:
    """The same file, or the tree of a PyTorch checkpoint in a temporary one."""
    if source.name.endswith(shards.INDEX) or not source.exists():
        yield source
        return
    with os.fdopen(open_regular("open", source), "rb") as stream:
        start = stream.read(9)
    if not is_pytorch(start):
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, f"{source.stem}.mt")
        save(load(source, device="cpu"), made)
        yield made


def elements(kind: Kind) -> int:
    """How many elements a tensor has, 0 for what is none."""
    return kind.size // kind.element.itemsize if isinstance(kind, TensorKind) and kind.size else 0


def size(count: int) -> str:
    """Bytes for people, by powers of ten as files are counted.

    >>> size(999), size(1_250_000)
    ('999 bytes', '1.2 MB')
    """
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
