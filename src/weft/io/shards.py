"""Checkpoints in a single file or in shards, written atomically.

Shards are written first, under new names. One rename of the index makes them the checkpoint; then the files of the
previous checkpoint are removed. Names and index follow Hugging Face's libraries: ``model.safetensors.index.json`` with
``weight_map``, from names of tensors to names of files.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from weft import metatensor as mt
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, MissingFileError, mistake
from weft.io.trees import NOTES
from weft.metatensor.atomic import entries, is_running, marking, remove_abandoned, replacing
from weft.metatensor.regular import open_regular, target_of
from weft.metatensor.scalars import TENSORS, native
from weft.metatensor.tensorfile import write_safetensors

INDEX = ".index.json"
MOST_INDEX = 100_000_000
"""The most bytes of an index."""
MOST_ATTEMPTS = 100
"""How often the files of a checkpoint are opened again if a writer replaces it meanwhile."""
UNITS = {
    "": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}

Parts = Mapping[tuple[str, ...], Any]


def size_of(given: int | str) -> int:
    """Return a number of bytes, given as a number or a text.

    >>> size_of("5GB"), size_of("1.5 MiB"), size_of(100)
    (5000000000, 1572864, 100)
    """
    if isinstance(given, int | str) and not isinstance(given, bool):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)?\s*", str(given), re.IGNORECASE)
        if found is not None and (size := int(float(found[1]) * UNITS[(found[2] or "").upper()])) > 0:
            return size
    kind = ArgumentError if isinstance(given, int | str) else ArgumentTypeError
    raise kind(mistake("save", "max_shard_size", repr(given), "a number of bytes, or a text such as '5GB'"))


def write(
    target: Path, parts: Parts, metadata: Mapping[str, Any], notes: Mapping[str, Any], limit: int | None,
    write_file: Callable[[Path, Parts, Mapping[str, Any]], None] | None = None,
) -> None:  # fmt: skip
    """Write parts as the file ``target``, or as shards of at most ``limit`` bytes with at least one part each.

    Args:
        target: the file's name.
        parts: values by path.
        metadata: the metadata of every file.
        notes: further metadata, of the single file or of the index.
        limit: the most bytes of a shard; None for a single file.
        write_file: writes a file of some parts with metadata; by default the function for the suffix.
    """
    write_file = write_file or _write_file
    target = target_of("save", target)  # with symbolic links resolved, so that a link stays a link
    index = target.with_name(target.name + INDEX)
    groups = [dict(parts)] if limit is None else _grouped(parts, limit)
    if len(groups) == 1:
        before = _listed(index)
        write_file(target, parts, {**metadata, **notes})
        _remove([index, *before])
        _remove_abandoned(target, index)
        return
    target_of("save", index)
    with marking(index) as token:
        _write_shards(target, index, token, groups, metadata, notes, write_file)
    _remove_abandoned(target, index)


def _write_shards(
    target: Path, index: Path, token: str, groups: list[dict[tuple[str, ...], Any]], metadata: Mapping[str, Any],
    notes: Mapping[str, Any], write_file: Callable[[Path, Parts, Mapping[str, Any]], None],
) -> None:  # fmt: skip
    """Write a file for each group and the index that names them, then remove the previous checkpoint."""
    before, had_index = _listed(index), os.path.exists(index)
    names = [
        target.with_name(f"{target.stem}-{token}-{at:05}-of-{len(groups):05}{target.suffix}")
        for at in range(1, len(groups) + 1)
    ]
    try:
        for name, group in zip(names, groups, strict=True):
            write_file(name, group, metadata)
        total = sum(bytes_of(value) for group in groups for value in group.values())
        where = {
            ".".join(path): name.name for name, group in zip(names, groups, strict=True) for path in group
        }
        text = json.dumps(
            {"metadata": {"total_size": total, **notes}, "weight_map": where}, indent=1, ensure_ascii=False
        )
        with replacing(index) as file:
            file.write(text.encode())
    except BaseException:
        if _listed(index) != names:
            _remove(names)
        elif not had_index:  # the previous checkpoint, a single file, is still there
            _remove([index, *names])
        raise
    _remove([target, *before])


def _remove_abandoned(target: Path, index: Path) -> None:
    """Remove the shards of killed writers: shards that the index does not name and whose writer does not run.

    Running writers are determined before the index is read: if a writer ends in between, the index names its shards.
    """
    shard = re.compile(
        rf"{re.escape(target.stem)}-([0-9a-f]{{8}})-\d{{5}}-of-\d{{5}}{re.escape(target.suffix)}"
    )
    shards = [(entry, match[1]) for entry in entries(target.parent) if (match := shard.fullmatch(entry))]
    ended = {token for token in {token for _, token in shards} if not is_running(index, token)}
    named = set(_listed(index))
    paths = [target.with_name(entry) for entry, token in shards if token in ended]
    _remove([path for path in paths if path not in named])
    for path in (target, index):
        remove_abandoned(path)
    remove_abandoned(target.with_name(f"{target.stem}-"), begins=True)


def _write_file(path: Path, parts: Parts, metadata: Mapping[str, Any]) -> None:
    if path.suffix.lower() == ".safetensors":
        write_safetensors(path, {".".join(name): value for name, value in parts.items()}, metadata)
        return
    tree: dict[str, Any] = {}
    for name, value in parts.items():
        inner = tree
        for key in name[:-1]:
            inner = inner.setdefault(key, {})
        inner[name[-1]] = value
    mt.save(path, tree, metadata=metadata)


def bytes_of(value: Any) -> int:
    """Return the bytes of a part that count for the size of a shard."""
    if isinstance(value, mt.Pending):
        count = native(TENSORS[value.dtype]).itemsize
        for size in value.shape:
            count *= size
        return count
    return int(getattr(value, "nbytes", 0)) or (len(value) if isinstance(value, str | bytes) else 8)


def _grouped(parts: Parts, limit: int) -> list[dict[tuple[str, ...], Any]]:
    """Return the parts in order, grouped into runs of at most ``limit`` bytes."""
    groups: list[dict[tuple[str, ...], Any]] = [{}]
    filled = 0
    for path, value in parts.items():
        size = bytes_of(value)
        if groups[-1] and filled + size > limit:
            groups.append({})
            filled = 0
        groups[-1][path] = value
        filled += size
    return groups


def _listed(index: Path) -> list[Path]:
    """Return the shards that an index names, none if there is no valid index: only the removal of shards needs them."""
    try:
        parsed = _parsed(index)
    except (OSError, FormatError):
        return []
    stem = re.escape(index.name.removesuffix(INDEX).rpartition(".")[0])
    ours = re.compile(rf"{stem}-.*\d+-of-\d+\.\w+")
    names = dict.fromkeys(parsed["weight_map"].values())
    return [index.with_name(name) for name in names if ours.fullmatch(name)]


def _remove(paths: list[Path]) -> None:
    for path in filter(os.path.lexists, paths):
        with suppress(FileNotFoundError):
            path.unlink()


def _parsed(index: Path) -> dict[str, Any]:
    """Return an index as plain data, checked: ``weight_map`` holds plain file names by tensor."""
    where = f"load: {str(index)!r}"
    with os.fdopen(open_regular("load", index), "rb") as file:
        if os.fstat(file.fileno()).st_size > MOST_INDEX:
            raise FormatError(mistake(where, "the index", "longer", f"at most {MOST_INDEX} bytes"))
        data = file.read()
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is not JSON ({error}), expected an index of shards") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("weight_map"), dict):
        raise FormatError(mistake(where, "weight_map", "missing", "an object of file names by tensor"))
    if not isinstance(parsed.get("metadata", {}), dict):
        raise FormatError(mistake(where, "metadata", repr(parsed["metadata"])[:80], "an object"))
    for name, shard in parsed["weight_map"].items():
        if not isinstance(shard, str) or shard in ("", ".", "..") or set(shard) & set("/\\:\0"):
            raise FormatError(
                mistake(
                    where, f"weight_map of {name!r}", repr(shard)[:80], "the name of a file beside the index"
                )
            )
    return parsed


@contextmanager
def read(source: Path) -> Iterator[tuple[list[mt.File], Any]]:
    """Yield the open files of a checkpoint, and the notes on its tree, None if it has none.

    If a writer replaces the checkpoint while its files are being opened, they are opened again.
    """
    index = source if source.name.endswith(INDEX) else source.with_name(source.name + INDEX)
    with ExitStack() as stack:
        for attempt in range(MOST_ATTEMPTS):
            state = _state(source, index)
            try:
                files, notes = _opened(stack, source, index)
            except (FormatError, MissingFileError):
                if attempt == MOST_ATTEMPTS - 1 or _state(source, index) == state:
                    raise
                stack.close()
            else:
                break
        yield files, notes


def _state(*paths: Path) -> list[tuple[int, int, int] | None]:
    """Return the inode, time and size of each file, which change when the file is replaced; None for a missing file."""
    states: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            state = os.stat(path)
        except OSError:
            states.append(None)
        else:
            states.append((state.st_ino, state.st_mtime_ns, state.st_size))
    return states


def _opened(stack: ExitStack, source: Path, index: Path) -> tuple[list[mt.File], Any]:
    if source != index and (os.path.exists(source) or not os.path.exists(index)):
        file = stack.enter_context(mt.open(source))
        return [file], None if file.is_safetensors else file.metadata.get(NOTES, {})
    parsed = _parsed(index)
    names_by_shard: dict[str, set[str]] = {}
    for name, shard in parsed["weight_map"].items():
        names_by_shard.setdefault(shard, set()).add(name)
    files = []
    for shard, names in names_by_shard.items():
        path = index.with_name(shard)
        if not os.path.exists(path):
            raise FormatError(
                mistake(f"load: {str(index)!r}", "weight_map", repr(shard), "a file that is there")
            )
        file = stack.enter_context(mt.open(path))
        for name in sorted(names.symmetric_difference(file.kinds)):
            state = "missing" if name in names else "not in the index"
            raise FormatError(
                mistake(f"load: {str(path)!r}", f"the part {name!r}", state, "the parts of the index")
            )
        files.append(file)
    plain = all(file.is_safetensors for file in files)
    return files, None if plain else parsed.get("metadata", {}).get(NOTES, {})
