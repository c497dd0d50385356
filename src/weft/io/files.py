"""``weft.save`` and ``weft.load``: state dicts as safetensors, trees as metatensor, written whole or not at all.

Both formats are a header and raw bytes: reading a file runs no code, which cannot be said of pickles (``.pt``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft import devices, dtypes
from weft import metatensor as mt
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, WeftError, mistake
from weft.io import shards
from weft.io.trees import ARRAY, NOTES, Encoder, decoded
from weft.metatensor.kinds import Kind
from weft.metatensor.regular import name_of, open_regular, target_of
from weft.metatensor.scalars import TENSOR_NAMES, TENSORS
from weft.metatensor.tensors import TensorKind
from weft.tensors import host
from weft.tensors.tensor import Tensor

SAFETENSORS = (".safetensors",)
METATENSOR = (".mt", ".metatensor")
PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
"""Suffixes of PyTorch's checkpoints, which are pickles."""
PICKLES = tuple(bytes((0x80, protocol)) for protocol in (2, 3, 4, 5))
"""How pickles begin; PyTorch's newer checkpoints are zip archives with one inside."""
RESERVED = "weft."
"""How the names of metadata begin that these functions keep for themselves."""


def save(
    obj: Any,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    max_shard_size: int | str | None = None,
) -> None:
    """Write a state dict or a tree of values to a file, atomically; the name's suffix says in which format.

    ``.safetensors`` takes a dict of tensors by name; its ``metadata`` are texts. ``.mt`` (metatensor) takes dicts,
    lists and tuples of tensors, NumPy arrays, numbers, texts, bytes and None, however nested; ``metadata`` is any
    JSON. Tensors are written one after another, each read from its device when its turn comes; a tensor that a tree
    holds twice is written once. Above ``max_shard_size`` (bytes, or a text as ``"5GB"``) the tensors are spread over
    files beside ``path``, which ``path + ".index.json"`` lists, as Hugging Face's libraries do it.

    A failure leaves an older file as it was and no other file. Raises ``ArgumentTypeError`` naming the place of what
    cannot be saved, ``ArgumentError`` for another suffix.

    >>> import tempfile, os, weft as wf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.mt")
    ...     wf.save({"model": {"weight": wf.ones(2)}, "epoch": 3, "rates": [0.1, 0.01]}, path)
    ...     wf.load(path, device="cpu")
    {'model': {'weight': tensor([1., 1.])}, 'epoch': 3, 'rates': [0.1, 0.01]}
    """
    target = Path(name_of("save", path))
    target_of("save", target)
    suffix = target.suffix.lower()
    if suffix in PICKLED:
        raise ArgumentError(
            mistake("save", "path", repr(str(target)), "a name such as 'model.safetensors' or 'run.mt'",
                    f"weft writes these formats, and {target.suffix} says that a file is a PyTorch pickle")
        )  # fmt: skip
    if suffix not in (*SAFETENSORS, *METATENSOR):
        raise ArgumentError(
            mistake("save", "path", repr(str(target)), "a name that ends in .safetensors or .mt",
                    "the suffix says which format to write")
        )  # fmt: skip
    given = _metadata(metadata, suffix in SAFETENSORS)
    limit = None if max_shard_size is None else shards.size_of(max_shard_size)
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


def load(path: str | os.PathLike[str], device: str | None = None) -> Any:
    """What ``save`` wrote: tensors by name, or the tree, with tensors on ``device`` or the default one.

    Reads safetensors and metatensor files, by their content, and either in shards, by the name that was saved or by
    that of the index. Tensors go to the device one by one. Raises ``FormatError`` naming the file and the field that
    is wrong, or the tensor of a type that weft lacks; ``ArgumentError`` for PyTorch's pickles, whose reading would run
    code.
    """
    source = Path(name_of("load", path))
    opened = devices.default() if device is None else devices.open(device)
    if not source.name.endswith(shards.INDEX) and os.path.exists(source):
        refuse_pickle(source)
    with shards.read(source) as (files, notes):
        if notes is None:
            return {
                name: _value(file, name, kind, opened) for file in files for name, kind in file.kinds.items()
            }
        if not isinstance(notes, dict):
            raise FormatError(
                mistake(f"load: {str(source)!r}", f"metadata {NOTES!r}", repr(notes)[:80], "an object")
            )
        parts = {}
        for file in files:
            for name, kind in file.kinds.items():
                as_array = notes.get(name) == ARRAY
                parts[tuple(name.split("."))] = _value(file, name, kind, None if as_array else opened)
        return decoded(parts, notes, f"load: {str(source)!r}")


def refuse_pickle(source: Path) -> None:
    """Raise ``ArgumentError`` where a file is a PyTorch checkpoint, by its name or its first bytes."""
    with os.fdopen(open_regular("load", source), "rb") as file:
        start = file.read(9)
    # a header begins at byte 8 with a brace; its length before may look like a pickle's beginning
    pickled = start[8:] != b"{" and (start.startswith(b"PK\x03\x04") or start[:2] in PICKLES)
    if source.suffix.lower() in PICKLED or pickled:
        raise ArgumentError(
            f"load: {str(source)!r} is a PyTorch checkpoint, expected a safetensors file; it is a pickle, and "
            f"reading one runs whatever code is in it. Convert it once where it is trusted: "
            f"safetensors.torch.save_file(torch.load(path, weights_only=True), 'model.safetensors')"
        )


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
    try:
        dtype = dtypes.named(TENSORS[kind.name])
    except WeftError:
        own = [key for key, numpy in TENSORS.items() if _is_ours(numpy)]
        raise FormatError(
            mistake("load", f"{file.path!r}: dtype of {name!r}", kind.name, f"one of {', '.join(own)}")
        ) from None
    try:
        return Tensor.wrap(host.from_numpy(view, dtype, device))
    except WeftError as error:
        error.add_note(f"  while loading {name!r} from {file.path!r}")
        raise


def _is_ours(name: str) -> bool:
    try:
        dtypes.named(name)
    except WeftError:
        return False
    return True
