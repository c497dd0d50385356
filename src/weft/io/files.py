"""``weft.save`` and ``weft.load``: state dicts as safetensors, trees as metatensor, checkpoints of PyTorch (``.pt``).

Writes are atomic. Reading a file runs no code from it: safetensors and metatensor are a header and raw bytes, and
PyTorch's pickles are read by an interpreter that calls only functions of a fixed table (``weft.io.pickles``).
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
"""The first bytes of pickles. PyTorch's newer checkpoints are zip archives that contain a pickle."""
RESERVED = "weft."
"""The prefix of metadata names that are reserved for these functions."""
WIDER = {"U16": "int32"}
"""Types of safetensors that weft lacks, each with a type that represents all of its values."""


def save(
    obj: Any,
    f: str | os.PathLike[str] | IO[bytes],
    *,
    metadata: Mapping[str, Any] | None = None,
    max_shard_size: int | str | None = None,
) -> None:
    """Write a state dict or a tree of values to a file, atomically, in the format of the name's suffix.

    ``.safetensors`` takes a dict of tensors by name; its ``metadata`` maps strings to strings. ``.mt`` (metatensor)
    takes nested dicts, lists and tuples of tensors, NumPy arrays, numbers, texts, bytes and None; its ``metadata`` is
    any JSON object. ``.pt``, ``.pth``, ``.bin`` and ``.ckpt`` are PyTorch's checkpoints, of tensors, numbers, texts and
    None. Each tensor is read from its device when it is written; a tensor that a tree holds twice is written once.
    With more than ``max_shard_size`` bytes (a number, or a text as ``"5GB"``) the tensors are spread over files beside
    ``f``, listed in ``f + ".index.json"``, as Hugging Face's libraries do.

    Args:
        obj: the state dict or tree.
        f: a name, or a file open for writing (``io.BytesIO``). An open file is written at its position, not
            atomically, as metatensor unless its name has another suffix.
        metadata: the metadata of the header.
        max_shard_size: the most bytes of a file.

    Raises:
        ArgumentTypeError: naming the place of a value that cannot be saved, for example a module in place of its
            state dict.
        ArgumentError: for another suffix.
        PathError: for a path that names no regular file. After an error an existing file is unchanged, and no other
            file remains.

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
    """Write through a temporary file, so that the stream stays unchanged if a tree cannot be saved."""
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
    """Return ``obj`` checked to be a flat dict of tensors."""
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
    """Return a tensor as a ``Pending``, read from its device when it is written."""

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
    """Read a file that ``save`` wrote: return tensors by name or the tree, on ``device`` or the default device.

    Reads safetensors and metatensor files, recognised by their content; shards of both, by the name that was saved or
    by the name of the index; and PyTorch's checkpoints (``.pt``) of tensors, numbers, texts and containers of these.
    Tensors are uploaded one after another.

    Args:
        f: a name, or a file open for reading (``io.BytesIO``), read from its position.
        map_location: a device; or, as in PyTorch, a dict from the locations in a checkpoint to devices, or a function
            of a storage and its location (``lambda storage, location: storage`` is ``"cpu"``).
        device: the device of the tensors.
        weights_only: as in PyTorch, where False allows a checkpoint to run code; weft runs none in either case.
        mmap: accepted as in PyTorch; files on disk are always mapped.

    Raises:
        FormatError: naming the file and the field that is wrong, a tensor whose type weft lacks, or a class or
            function in a checkpoint that is not allowed.
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
    """Yield the rest of a stream as a file, and the name of the stream for messages."""
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
    """Return whether the first 9 bytes of a file are those of a checkpoint of PyTorch.

    In the other formats byte 8 is the brace of the header; the length before it may look like the start of a pickle.
    """
    return start[8:] != b"{" and (start.startswith(b"PK\x03\x04") or start[:2] in PICKLES)


def _value(file: mt.File, name: str, kind: Kind, device: devices.Device | None) -> Any:
    """Return a part of a file: a tensor on the device (a NumPy array if ``device`` is None), or a Python value."""
    if not isinstance(kind, TensorKind):
        value = file[name]
        if isinstance(value, mt.Records | mt.Blob):
            raise FormatError(
                mistake("load", f"{file.path!r}: {name!r}", kind.describe(), "tensors and single values",
                        "read datasets with weft.metatensor.open(path)")
            )  # fmt: skip
        return value
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
    """Return the type of a tensor in a file; for a type that weft lacks a wider type, with a warning."""
    if _is_supported(TENSORS[name]):
        return dtypes.named(TENSORS[name])
    if name not in WIDER:
        native = [key for key, numpy in TENSORS.items() if _is_supported(numpy)]
        raise FormatError(mistake("load", place, name, f"one of {', '.join([*native, *WIDER])}"))
    warnings.warn(
        f"load: {place} is {name}, which weft lacks: read as {WIDER[name]}", UserWarning, stacklevel=5
    )
    return dtypes.named(WIDER[name])


def _is_supported(name: str) -> bool:
    try:
        dtypes.named(name)
    except WeftError:
        return False
    return True
