"""``weft.save`` and ``weft.load``: state dicts as safetensors files, written whole or not at all.

The format is a header and raw bytes: reading a file runs no code, which cannot be said of pickles (``.pt``).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from weft import devices, dtypes
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, WeftError, mistake
from weft.tensors import host
from weft.tensors.tensor import Tensor

PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
"""Suffixes of PyTorch's checkpoints, which are pickles."""

PICKLES = tuple(bytes((0x80, protocol)) for protocol in (2, 3, 4, 5))
"""How pickles begin; PyTorch's newer checkpoints are zip archives with one inside."""

TYPES = {
    "F64": dtypes.float64, "F32": dtypes.float32, "F16": dtypes.float16, "BF16": dtypes.bfloat16,
    "I64": dtypes.int64, "I32": dtypes.int32, "I8": dtypes.int8, "U32": dtypes.uint32, "U8": dtypes.uint8,
    "BOOL": dtypes.bool_,
}  # fmt: skip
"""The format's names of the types that weft has."""


def save(obj: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Write a state dict (names to tensors) as a safetensors file, atomically.

    A failure leaves an older file as it was and no other file. Raises ``ArgumentTypeError`` naming the key of what
    is not a tensor, ``ArgumentError`` for a pickle's suffix.

    >>> import tempfile, os, weft as wf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     wf.save({"weight": wf.ones(2)}, path)
    ...     wf.load(path, device="cpu")
    {'weight': tensor([1., 1.])}
    """
    target = _path("save", path)
    if target.suffix.lower() in PICKLED:
        raise ArgumentError(
            mistake("save", "path", repr(str(target)), "a name such as 'model.safetensors'",
                    f"weft writes safetensors, and {target.suffix} says that a file is a PyTorch pickle")
        )  # fmt: skip
    from safetensors.numpy import save as serialise

    # other tools open only files that name a framework: the keys and layouts are PyTorch's
    _replace(target, serialise(_arrays(obj), metadata={"format": "pt"}))


def _path(where: str, path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ArgumentTypeError(mistake(where, "path", f"a {type(path).__name__}", "a file name"))
    return Path(path)


def _arrays(obj: Any) -> dict[str, Any]:
    """The tensors as contiguous NumPy arrays, each with bytes of its own."""
    import numpy

    if not isinstance(obj, Mapping):
        hint = "use .state_dict()" if hasattr(obj, "state_dict") else ""
        raise ArgumentTypeError(
            mistake("save", "obj", f"a {type(obj).__name__}", "a dict of names and tensors", hint)
        )
    made = {}
    for key, value in obj.items():
        if not isinstance(key, str):
            raise ArgumentTypeError(mistake("save", "a key", repr(key), "a string"))
        if not isinstance(value, Tensor):
            given = f"a {type(value).__name__}"
            raise ArgumentTypeError(
                mistake(
                    "save",
                    f"obj[{key!r}]",
                    given,
                    "a tensor",
                    "only flat dicts of tensors are saved; flatten nested ones",
                )
            )
        made[key] = numpy.ascontiguousarray(value.detach().numpy()).reshape(value.shape)
    return made


def _replace(target: Path, data: bytes) -> None:
    """Put a file with these bytes in place of another, or leave all as it was.

    The bytes are on disk under a temporary name in the same directory before the name changes.
    """
    target = target.resolve()  # through a link, so that the link stays
    if target.is_dir():
        raise IsADirectoryError(f"save: {str(target)!r} is a directory, expected the name of a file")
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # the new name is on disk once its directory is
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def load(path: str | os.PathLike[str], device: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, on ``device`` or the default one.

    Raises ``FormatError`` naming the file where it is not one, or holds a type that weft lacks; ``ArgumentError``
    for PyTorch's pickles, whose reading would run code.
    """
    source = _path("load", path)
    opened = devices.default() if device is None else devices.open(device)
    with open(source, "rb") as file:
        start = file.read(9)
        # a safetensors header begins at byte 8 with a brace; its length before may look like a pickle's beginning
        pickled = start[8:] != b"{" and (start.startswith(b"PK\x03\x04") or start[:2] in PICKLES)
        if source.suffix.lower() in PICKLED or pickled:
            raise ArgumentError(
                f"load: {str(source)!r} is a PyTorch checkpoint, expected a safetensors file; it is a pickle, and "
                f"reading one runs whatever code is in it. Convert it once where it is trusted: "
                f"safetensors.torch.save_file(torch.load(path, weights_only=True), 'model.safetensors')"
            )
        data = start + file.read()
    return {name: _tensor(source, name, entry, opened) for name, entry in _entries(source, data)}


def _entries(source: Path, data: bytes) -> list[tuple[str, dict[str, Any]]]:
    from safetensors import SafetensorError, deserialize

    try:
        found: list[tuple[str, dict[str, Any]]] = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise FormatError(
            f"load: {str(source)!r} is not a whole safetensors file ({error}); save it again"
        ) from error
    return found


def _tensor(source: Path, name: str, entry: dict[str, Any], device: devices.Device) -> Tensor:
    import numpy

    kind = TYPES.get(entry["dtype"])
    if kind is None:
        raise FormatError(
            mistake(
                "load", f"{str(source)!r}: dtype of {name!r}", entry["dtype"], f"one of {', '.join(TYPES)}"
            )
        )
    values = numpy.frombuffer(entry["data"], kind.numpy).reshape(entry["shape"])
    try:
        return Tensor.wrap(host.from_numpy(values, kind, device))
    except WeftError as error:
        error.add_note(f"  while loading {name!r} from {str(source)!r}")
        raise
