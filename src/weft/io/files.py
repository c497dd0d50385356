"""``weft.save`` and ``weft.load``: state dicts as safetensors, trees as metatensor, checkpoints of PyTorch (``.pt``).

A file is written whole or not at all. Reading one runs no code: safetensors and metatensor are a header and raw bytes,
and PyTorch's pickles are read by a machine that calls nothing they name (``weft.io.pickles``).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from weft import devices, dtypes
from weft import metatensor as mt
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, WeftError, mistake
from weft.io import locations, pytorch, shards
from weft.io.trees import ARRAY, NOTES, Encoder, decoded
from weft.metatensor.atomic import replacing
from weft.metatensor.kinds import Kind
from weft.metatensor.regular import name_of, open_regular, target_of
from weft.metatensor.scalars import TENSOR_NAMES, TENSORS
from weft.metatensor.tensors import TensorKind
from weft.tensors import host
from weft.tensors.tensor import Tensor

SAFETENSORS = (".safetensors",)
METATENSOR = (".mt", ".metatensor")
PYTORCH = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
"""Suffixes of PyTorch's checkpoints."""
SUFFIXES = (*SAFETENSORS, *METATENSOR, *PYTORCH)
PICKLES = tuple(bytes((0x80, protocol)) for protocol in (2, 3, 4, 5))
"""How pickles begin; PyTorch's newer checkpoints are zip archives with one inside."""
RESERVED = "weft."
"""How the names of metadata begin that these functions keep for themselves."""
WIDER = {"U16": "int32"}
"""Types of safetensors that weft lacks, and a type that holds all of their values."""


def save(
    obj: Any,
    f: str | os.PathLike[str] | IO[bytes],
    *,
    metadata: Mapping[str, Any] | None = None,
    max_shard_size: int | str | None = None,
) -> None:
    """Write a state dict or a tree of values to a file, atomically; the name's suffix says in which format.

    ``.safetensors`` takes a dict of tensors by name; its ``metadata`` are texts. ``.mt`` (metatensor) takes dicts,
    lists and tuples of tensors, NumPy arrays, numbers, texts, bytes and None, however nested; ``metadata`` is any
    JSON. ``.pt``, ``.pth``, ``.bin`` and ``.ckpt`` are PyTorch's checkpoints, of tensors, numbers, texts and None.
    Tensors are written one after another, each read from its device when its turn comes; a tensor that a tree
    holds twice is written once. Above ``max_shard_size`` (bytes, or a text as ``"5GB"``) the tensors are spread over
    files beside ``f``, which ``f + ".index.json"`` lists, as Hugging Face's libraries do it.

    Args:
        obj: the state dict or tree.
        f: a name, or a file open for writing (``io.BytesIO``). A file takes metatensor unless its own name says
            otherwise, at its position, and not atomically.
        metadata: what the header says besides.
        max_shard_size: the most bytes of one file.

    Raises:
        ArgumentTypeError: naming the place of what cannot be saved: a module, say, in place of its state dict.
        ArgumentError: for another suffix.
        PathError: for a path that names no regular file. A failure leaves an older file as it was and no other file.

    >>> import tempfile, os, weft as wf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.mt")
    ...     wf.save({"model": {"weight": wf.ones(2)}, "epoch": 3, "rates": [0.1, 0.01]}, path)
    ...     wf.load(path, device="cpu")
    {'model': {'weight': tensor([1., 1.])}, 'epoch': 3, 'rates': [0.1, 0.01]}
    """
    _refuse_module(obj)
    if hasattr(f, "write"):
        _save_to_stream(obj, f, metadata, max_shard_size)
        return
    target = Path(name_of("save", f))
    target_of("save", target)
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise ArgumentError(
            mistake("save", "path", repr(str(target)), "a name that ends in .safetensors, .mt or .pt",
                    "the suffix says which format to write")
        )  # fmt: skip
    given = _metadata(metadata, suffix in SAFETENSORS)
    limit = None if max_shard_size is None else shards.size_of(max_shard_size)
    if suffix in PYTORCH:
        if given or limit is not None:
            raise ArgumentError(
                mistake(
                    "save",
                    "metadata or max_shard_size",
                    "given",
                    f"none with {suffix}",
                    "use .safetensors or .mt",
                )
            )
        with replacing(target) as file:
            pytorch.write(file, obj, target.stem or "archive")
        return
    parts: dict[tuple[str, ...], Any]
    if suffix in SAFETENSORS:
        # other tools open only files that name a framework: the keys and layouts are PyTorch's
        parts = {(name,): _pending(value) for name, value in _state(obj).items()}
        shards.write(target, parts, {"format": "pt", **given}, {}, limit)
    else:
        tree = Encoder(obj)
        parts = {
            path: _pending(value) if isinstance(value, Tensor) else value
            for path, value in tree.parts.items()
        }
        shards.write(target, parts, given, {NOTES: tree.notes}, limit)


def _refuse_module(obj: Any) -> None:
    if hasattr(obj, "state_dict") and not isinstance(obj, Mapping):
        raise ArgumentTypeError(
            mistake("save", "obj", f"a {type(obj).__name__}", "a dict of names and tensors, or a tree of values",
                    "use .state_dict(), and load_state_dict() to bring it back; files hold values, no classes")
        )  # fmt: skip


def _save_to_stream(obj: Any, stream: Any, metadata: Any, max_shard_size: Any) -> None:
    """Write through a temporary file, so that a tree that cannot be saved leaves the stream as it was."""
    if max_shard_size is not None:
        raise ArgumentError(
            mistake("save", "max_shard_size", max_shard_size, "None for an open file", "give a name")
        )
    name = getattr(stream, "name", "")
    suffix = Path(name).suffix.lower() if isinstance(name, str) else ""
    suffix = suffix if suffix in SUFFIXES else METATENSOR[0]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"tree{suffix}")
        save(obj, path, metadata=metadata)
        with open(path, "rb") as source:
            shutil.copyfileobj(source, stream)


def _metadata(given: Any, texts: bool) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise ArgumentTypeError(mistake("save", "metadata", repr(given)[:80], "a dict with texts for keys"))
    for key, value in given.items():
        if key.startswith(RESERVED):
            raise ArgumentError(
                mistake("save", "metadata", repr(key), f"names that do not begin with {RESERVED!r}")
            )
        if texts and not isinstance(value, str):
            raise ArgumentTypeError(mistake("save", f"metadata[{key!r}]", f"a {type(value).__name__}",
                                            "a text: safetensors holds no others"))  # fmt: skip
    return dict(given)


def _state(obj: Any) -> dict[str, Tensor]:
    """A flat dict of tensors, checked."""
    if not isinstance(obj, Mapping):
        hint = "use .state_dict()" if hasattr(obj, "state_dict") else ""
        raise ArgumentTypeError(
            mistake("save", "obj", f"a {type(obj).__name__}", "a dict of names and tensors", hint)
        )
    for key, value in obj.items():
        if not isinstance(key, str):
            raise ArgumentTypeError(mistake("save", "a key", repr(key), "a string"))
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(
                mistake("save", f"obj[{key!r}]", f"a {type(value).__name__}", "a tensor",
                        "safetensors holds flat dicts of tensors; a name that ends in .mt takes any tree")
            )  # fmt: skip
    return dict(obj)


def _pending(tensor: Tensor) -> mt.Pending:
    """A tensor that is read from its device when it is written."""

    def read() -> Any:
        import numpy

        return numpy.ascontiguousarray(tensor.detach().numpy()).reshape(tensor.shape)

    return mt.Pending(TENSOR_NAMES[tensor.dtype.numpy.name], tuple(tensor.shape), read)


def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: locations.MapLocation = None,
    *,
    device: str | None = None,
    weights_only: bool = True,
    mmap: bool | None = None,
) -> Any:
    """What ``save`` wrote: tensors by name, or the tree, with tensors on ``device`` or the default one.

    Reads safetensors and metatensor files, by their content, and either in shards, by the name that was saved or by
    that of the index; and PyTorch's checkpoints (``.pt``) of tensors, numbers, texts and containers of these. Tensors
    go to the device one by one.

    Args:
        f: a name, or a file open for reading (``io.BytesIO``), read from its position.
        map_location: as ``device``; or, as PyTorch takes it, a dict from the locations that a checkpoint names to
            devices, or a function of a storage and its location (``lambda storage, location: storage`` is ``"cpu"``).
        device: where the tensors go.
        weights_only: as in PyTorch, where False allows a checkpoint to run code; here none is run in either case.
        mmap: accepted as in PyTorch; files on disk are always mapped.

    Raises:
        FormatError: naming the file and the field that is wrong, the tensor of a type that weft lacks, or the class
            or function that a checkpoint asks for.
        PathError: for a path that names no regular file.

    >>> import io, weft as wf
    >>> file = io.BytesIO()
    >>> wf.save({"weight": wf.ones(2)}, file)
    >>> _ = file.seek(0)
    >>> wf.load(file, map_location="cpu")
    {'weight': tensor([1., 1.])}
    """
    place = locations.placing(map_location, device)
    for name, value in (("weights_only", weights_only), ("mmap", mmap)):
        if value is not None and not isinstance(value, bool):
            raise ArgumentTypeError(mistake("load", name, repr(value)[:80], "True or False"))
    if hasattr(f, "read"):
        with _spooled(f) as (path, name):
            return _load(path, place, name)
    source = Path(name_of("load", f))
    return _load(source, place, repr(str(source)))


@contextmanager
def _spooled(stream: Any) -> Iterator[tuple[Path, str]]:
    """The rest of a stream as a file, and how errors name it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stream")
        with open(path, "wb") as file:
            shutil.copyfileobj(stream, file)
        yield path, f"the given {type(stream).__name__}"


def _load(source: Path, place: Callable[[str], devices.Device], named: str) -> Any:
    where = f"load: {named}"
    if not source.name.endswith(shards.INDEX) and os.path.exists(source):
        with os.fdopen(open_regular("load", source), "rb") as stream:
            if is_pytorch(stream.read(9)):
                stream.seek(0)
                return pytorch.read(stream, where, place)
    opened = place("")
    with shards.read(source) as (files, notes):
        if notes is None:
            return {
                name: _value(file, name, kind, opened) for file in files for name, kind in file.kinds.items()
            }
        if not isinstance(notes, dict):
            raise FormatError(mistake(where, f"metadata {NOTES!r}", repr(notes)[:80], "an object"))
        parts = {}
        for file in files:
            for name, kind in file.kinds.items():
                as_array = notes.get(name) == ARRAY
                parts[tuple(name.split("."))] = _value(file, name, kind, None if as_array else opened)
        return decoded(parts, notes, where)


def is_pytorch(start: bytes) -> bool:
    """Return whether a file is a checkpoint of PyTorch, by its first 9 bytes.

    The header of the other formats begins at byte 8 with a brace; its length before may look like a pickle's beginning.
    """
    return start[8:] != b"{" and (start.startswith(b"PK\x03\x04") or start[:2] in PICKLES)


def _value(file: mt.File, name: str, kind: Kind, device: devices.Device | None) -> Any:
    """A part of a file: a tensor on the device (a NumPy array where there is none), or a Python value."""
    if not isinstance(kind, TensorKind):
        found = file[name]
        if isinstance(found, mt.Records | mt.Blob):
            raise FormatError(
                mistake("load", f"{file.path!r}: {name!r}", kind.describe(), "tensors and single values",
                        "read datasets with weft.metatensor.open(path)")
            )  # fmt: skip
        return found
    view = file[name]
    if device is None:
        return view.copy()
    dtype = _dtype(kind.name, f"{file.path!r}: dtype of {name!r}")
    try:
        return Tensor.wrap(host.from_numpy(view, dtype, device))
    except WeftError as error:
        error.add_note(f"  while loading {name!r} from {file.path!r}")
        raise


def _dtype(name: str, place: str) -> dtypes.DType:
    """The type of a tensor in a file; a wider one, with a warning, where weft lacks it and another holds its values."""
    if _is_ours(TENSORS[name]):
        return dtypes.named(TENSORS[name])
    if name not in WIDER:
        own = [key for key, numpy in TENSORS.items() if _is_ours(numpy)]
        raise FormatError(mistake("load", place, name, f"one of {', '.join([*own, *WIDER])}"))
    warnings.warn(
        f"load: {place} is {name}, which weft lacks: read as {WIDER[name]}", UserWarning, stacklevel=5
    )
    return dtypes.named(WIDER[name])


def _is_ours(name: str) -> bool:
    try:
        dtypes.named(name)
    except WeftError:
        return False
    return True
