"""``Checkpoint``: an open file or its shards, as ``inspect``, ``convert`` and ``diff`` see them: parts by name."""

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
    """An open file, or the open shards behind an index. Parts are read only when they are accessed."""

    path: Path
    files: list[mt.File]
    notes: dict[str, str]
    """The notes of ``weft.save`` on the tree, by path; empty for files of other writers."""
    pattern: str | None = None
    """The pattern of the selected names, as in ``fnmatch`` (``* ? [...]``); None for all."""

    @property
    def parts(self) -> dict[str, Stored]:
        """The parts of all files by name, in order; with a pattern those that match it."""
        return {
            name: Stored(file, name)
            for file in self.files
            for name in file
            if self.pattern is None or fnmatchcase(name, self.pattern)
        }

    @property
    def is_safetensors(self) -> bool:
        """Whether all files are safetensors files."""
        return all(file.is_safetensors for file in self.files)

    @property
    def nones(self) -> list[str]:
        """The paths at which the tree holds None, which is no part of a file."""
        return [name for name, note in self.notes.items() if note == NONE]

    @property
    def shared(self) -> dict[str, str]:
        """The other names of shared tensors, each with the name under which the tensor is stored."""
        return {name: note.removeprefix(SAME) for name, note in self.notes.items() if note.startswith(SAME)}

    @property
    def named(self) -> dict[str, Stored]:
        """``parts``, with shared tensors under all of their names."""
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
        """The metadata of all files, without weft's notes; raises ``FormatError`` if shards contradict each other."""
        merged: dict[str, Any] = {}
        for file in self.files:
            for name, value in file.metadata.items():
                if name == NOTES:
                    continue
                if merged.setdefault(name, value) != value:
                    raise FormatError(
                        mistake(f"{file.path!r}", f"metadata {name!r}", repr(value)[:80],
                                f"{merged[name]!r:.80}, as in the shards before")
                    )  # fmt: skip
        return merged


@contextmanager
def checkpoint(path: str, pattern: str | None = None) -> Iterator[Checkpoint]:
    """Open a file, an index of shards, or the shards that were saved under a name.

    A ``pattern`` selects the parts whose names match; raises ``ArgumentError`` if no part does.
    """
    with _as_metatensor(Path(path)) as source, shards.read(source) as (files, notes):
        texts = isinstance(notes, Mapping) and all(isinstance(note, str) for note in notes.values())
        if notes is not None and not texts:
            raise FormatError(mistake(f"{path!r}", f"metadata {NOTES!r}", repr(notes)[:80], "texts by path"))
        opened = Checkpoint(Path(path), files, dict(notes or {}), pattern)
        if pattern is not None:
            if not opened.parts:
                raise ArgumentError(
                    mistake(f"{path!r}", "--match", repr(pattern), "a pattern that fits the name of a part")
                )
            opened = replace(opened, notes=_notes_of(opened))
        yield opened


def _notes_of(opened: Checkpoint) -> dict[str, str]:
    """Return the notes on the selected parts and on their containers; an incomplete list is no longer a list."""
    names = set(opened.parts)
    return {
        path: note
        for path, note in opened.notes.items()
        if path in names
        or note in (DOTTED, NUMBERED)
        and any(name.startswith(f"{path}.") or not path for name in names)
    }


@contextmanager
def _as_metatensor(source: Path) -> Iterator[Path]:
    """Yield the same file, or for a PyTorch checkpoint a temporary metatensor file with its tree."""
    if source.name.endswith(shards.INDEX) or not source.exists():
        yield source
        return
    with os.fdopen(open_regular("open", source), "rb") as stream:
        start = stream.read(9)
    if not is_pytorch(start):
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder, f"{source.stem}.mt")
        save(load(source, device="cpu"), converted)
        yield converted


def elements(kind: Kind) -> int:
    """Return the number of elements of a tensor, 0 for other kinds."""
    return kind.size // kind.element.itemsize if isinstance(kind, TensorKind) and kind.size else 0


def size(count: int) -> str:
    """Return a number of bytes as readable text, in powers of ten.

    >>> size(999), size(1_250_000)
    ('999 bytes', '1.2 MB')
    """
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
