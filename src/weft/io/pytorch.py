"""Reader and writer of PyTorch's checkpoints (``.pt``); the reader runs no code that a pickle may contain.

Two layouts are read. Since PyTorch 1.6 a checkpoint is an uncompressed zip archive of a pickle (``data.pkl``) and a
member of raw bytes for each storage. Before, it was a sequence of pickles followed by the storages. A tensor is a
persistent identifier of a storage with sizes and strides (``torch/serialization.py``, ``torch/_utils.py``).
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy

from weft import dtypes
from weft.devices.base import Device
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, WeftError, mistake
from weft.io.pickles import Machine
from weft.metatensor.schema import MOST_LEVELS
from weft.tensors import host
from weft.tensors.tensor import Tensor

STORAGES: Mapping[str, str] = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
"""The element type of each class of typed storages in ``torch``."""
CLASSES = {dtype: name for name, dtype in STORAGES.items()}

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
ONLY_STATE = (
    "no code of a file is run; save the state_dict() of modules and optimizers, "
    "torch.save(model.state_dict(), path), and load that"
)

Place = Callable[[str], Device]
"""Returns the device for a location that the file names, such as ``cuda:0``."""


def read(stream: IO[bytes], where: str, place: Place) -> Any:
    """Return the tree of a checkpoint: tensors, numbers, texts, and containers of these.

    Args:
        stream: a seekable file, at the start of the checkpoint.
        where: the file's name in messages.
        place: returns the device for a location.

    Raises:
        FormatError: for a damaged file, and naming a class or function other than those of PyTorch's tensors.
    """
    start = stream.tell()
    zipped = stream.read(4) == b"PK\x03\x04"
    stream.seek(start)
    return _read_archive(stream, where, place) if zipped else _read_legacy(stream, where, place)


@dataclass(frozen=True)
class _Class:
    """A class of storages; ``dtype`` is None for bytes without a type."""

    dtype: DType | None


class _Storage:
    """A storage of the file: its type, its location, and the tensors of its elements, which all views share."""

    def __init__(self, key: str, dtype: DType | None, location: str, count: int) -> None:
        self.key, self.dtype, self.location, self.count = key, dtype, location, count
        self.tensors: dict[DType, Tensor] = {}


class _Reader:
    """The names that the pickle of a checkpoint may use: storages, tensors on them, and plain types."""

    def __init__(self, where: str, place: Place, data: Callable[[_Storage], bytes]) -> None:
        self.where, self.place, self.data = where, place, data
        self.storages: dict[str, _Storage] = {}
        self.names: dict[str, Any] = {
            "torch._utils._rebuild_tensor": self.tensor,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_tensor_v3": self.tensor_of_type,
            "torch._utils._rebuild_parameter": self.parameter,
            "torch._utils._rebuild_parameter_with_state": self.parameter,
            "torch.Size": tuple,
            "torch.device": lambda *given: ":".join(map(str, given)),
            "torch.storage.UntypedStorage": _Class(None),
            "torch.UntypedStorage": _Class(None),
            "collections.OrderedDict": self.ordered,
            **{f"torch.{name}": _Class(dtypes.named(dtype)) for name, dtype in STORAGES.items()},
            **{f"torch.{dtype.name}": dtype for dtype in dtypes.ALL},
            **{
                f"{module}.{kind.__name__}": kind
                for module in ("builtins", "__builtin__")
                for kind in (set, frozenset, bytearray)
            },
        }
        self.machine = Machine(where, self.names, self.storage, ONLY_STATE)

    def ordered(self, items: Any = ()) -> OrderedDict[Any, Any]:
        ordered: OrderedDict[Any, Any] = OrderedDict()
        self.machine._store(ordered, [part for item in items for part in item])
        return ordered

    def storage(self, identifier: Any) -> _Storage:
        kind, cls, key, location, count, *_ = identifier
        if kind != "storage" or not isinstance(cls, _Class):
            raise FormatError(
                mistake(self.where, "a persistent identifier", repr(kind)[:80], "that of a storage")
            )
        storage = self.storages.get(str(key))
        if storage is None:
            storage = self.storages[str(key)] = _Storage(str(key), cls.dtype, str(location), int(count))
        return storage

    def tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *_: Any
    ) -> Tensor:
        if not isinstance(storage, _Storage) or storage.dtype is None:
            raise FormatError(
                mistake(self.where, "a tensor's storage", repr(storage)[:80], "one of known type")
            )
        return self.view(storage, storage.dtype, offset, size, stride, requires_grad)

    def tensor_of_type(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any,
        _: Any,
        dtype: Any,
        *__: Any,
    ) -> Tensor:
        if not isinstance(storage, _Storage) or not isinstance(dtype, DType):
            raise FormatError(mistake(self.where, "a tensor's type", repr(dtype)[:80], "one that weft has"))
        return self.view(storage, dtype, offset, size, stride, requires_grad)

    def parameter(self, data: Any, requires_grad: Any, *_: Any) -> Tensor:
        from weft.nn.parameter import Parameter

        return Parameter(data, requires_grad=bool(requires_grad))

    def view(
        self, storage: _Storage, dtype: DType, offset: Any, size: Any, stride: Any, requires_grad: Any
    ) -> Tensor:
        numbers = (offset, *size, *stride)
        if len(size) != len(stride) or not all(type(number) is int and number >= 0 for number in numbers):
            raise FormatError(
                mistake(self.where, "a tensor's geometry", repr(numbers)[:80], "sizes and strides")
            )
        whole = self.elements(storage, dtype)
        last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
        count = math.prod(size)
        if count and last >= whole.shape[0] or offset > whole.shape[0] or count >= 2**62:
            raise FormatError(
                mistake(self.where, f"a tensor of {list(size)} at {offset} with strides {list(stride)}",
                        "outside of its storage", f"one within {whole.shape[0]} elements")
            )  # fmt: skip
        view = whole.as_strided(tuple(size), tuple(stride), offset).detach()
        return view.requires_grad_(True) if requires_grad else view

    def elements(self, storage: _Storage, dtype: DType) -> Tensor:
        if dtype not in storage.tensors:
            data = self.data(storage)
            if len(data) % dtype.itemsize:
                raise FormatError(
                    mistake(self.where, f"storage {storage.key!r}", f"{len(data)} bytes",
                            f"whole elements of {dtype.name}")
                )  # fmt: skip
            values = numpy.frombuffer(data, dtype.numpy)
            try:
                array = host.from_numpy(values, dtype, self.place(storage.location))
            except WeftError as error:
                error.add_note(f"  while loading storage {storage.key!r} of {self.where}")
                raise
            storage.tensors[dtype] = Tensor.wrap(array)
        return storage.tensors[dtype]


def _read_archive(stream: IO[bytes], where: str, place: Place) -> Any:
    try:
        archive = zipfile.ZipFile(stream)
        names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise FormatError(
            f"{where} is no whole zip archive ({error}), expected a PyTorch checkpoint"
        ) from None
    root = next((name[: -len("data.pkl")] for name in names if name.endswith("data.pkl")), None)
    if root is None:
        raise FormatError(mistake(where, "data.pkl", "missing", "the archive of a PyTorch checkpoint"))
    if any(name.startswith(f"{root}code/") for name in names):
        raise FormatError(f"{where} is a TorchScript program, expected a checkpoint; {ONLY_STATE}")
    size = stream.seek(0, io.SEEK_END)

    def member(name: str) -> bytes:
        try:
            info = archive.getinfo(root + name)
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
                raise FormatError(
                    mistake(where, name, "compressed", "a stored member, as PyTorch writes them")
                )
            return archive.read(info)
        except KeyError:
            raise FormatError(mistake(where, name, "missing", "all members that data.pkl names")) from None
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError) as error:
            if isinstance(error, WeftError):
                raise
            raise FormatError(f"{where}: {name} is damaged ({error})") from None

    if root + "byteorder" in names and member("byteorder").strip() != b"little":
        raise FormatError(mistake(where, "byteorder", "big", "little-endian data"))

    def data(storage: _Storage) -> bytes:
        elements = member(f"data/{storage.key}")
        wide = 1 if storage.dtype is None else storage.dtype.itemsize
        if len(elements) != storage.count * wide:
            raise FormatError(
                mistake(
                    where,
                    f"data/{storage.key}",
                    f"{len(elements)} bytes",
                    f"{storage.count * wide} by data.pkl",
                )
            )
        return elements

    return _Reader(where, place, data).machine.load(io.BytesIO(member("data.pkl")))


def _read_legacy(stream: IO[bytes], where: str, place: Place) -> Any:
    """Read a checkpoint from before PyTorch 1.6. Its pickle precedes the storages; a second pass builds the tensors."""
    plain = Machine(where, {}, None, ONLY_STATE)
    if plain.load(stream) != LEGACY_MAGIC or plain.load(stream) != LEGACY_VERSION:
        raise FormatError(f"{where} is a pickle, expected a PyTorch checkpoint; {ONLY_STATE}")
    system = plain.load(stream)
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise FormatError(mistake(where, "little_endian", False, "little-endian data"))
    start = stream.tell()
    survey = _Reader(where, place, lambda storage: b"")
    survey.names |= {name: lambda *_: None for name in survey.names if "_rebuild_" in name}
    survey.machine.load(stream)
    keys = plain.load(stream)
    contents: dict[str, bytes] = {}
    for key in keys if isinstance(keys, list) else ():
        storage = survey.storages.get(str(key))
        if storage is None or storage.dtype is None:
            raise FormatError(mistake(where, "the list of storages", repr(key)[:80], "those of the pickle"))
        (count,) = struct.unpack("<q", _exactly(stream, 8, where))
        if count != storage.count:
            raise FormatError(mistake(where, f"storage {key}", f"{count} elements", storage.count))
        contents[storage.key] = _exactly(stream, count * storage.dtype.itemsize, where)
    stream.seek(start)

    def data(storage: _Storage) -> bytes:
        if storage.key not in contents:
            raise FormatError(
                mistake(where, f"storage {storage.key!r}", "missing", "all that the pickle names")
            )
        return contents[storage.key]

    return _Reader(where, place, data).machine.load(stream)


def _exactly(stream: IO[bytes], count: int, where: str) -> bytes:
    at = stream.tell()
    left = stream.seek(0, io.SEEK_END) - at
    stream.seek(at)
    if count < 0 or count > left:
        raise FormatError(
            mistake(where, "the file", f"{left} bytes long from byte {at}", f"{count} bytes there")
        )
    return stream.read(count)


# Writing.


def write(stream: IO[bytes], tree: Any, name: str = "archive") -> None:
    """Write a tree of tensors, numbers, texts and None, in dicts, lists and tuples, as a PyTorch checkpoint.

    ``torch.load`` reads it with ``weights_only=True``. A tensor that the tree holds twice is written once.

    Raises:
        ArgumentTypeError: naming the place of a value that the format does not support.
    """
    pickled = _Pickled()
    data = b"\x80\x02" + b"".join(pickled.value(tree, "the tree", 0)) + b"."
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{name}/data.pkl", data)
        archive.writestr(f"{name}/byteorder", "little")
        for key, tensor in pickled.storages.items():
            with archive.open(f"{name}/data/{key}", "w", force_zip64=True) as member:
                values = numpy.ascontiguousarray(tensor.detach().numpy())
                member.write(values.reshape(-1).view(numpy.uint8).data)
        archive.writestr(f"{name}/version", "3\n")


class _Pickled:
    """Writes the instructions of pickle protocol 2 for a tree; ``storages`` are the tensors by archive member."""

    def __init__(self) -> None:
        self.storages: dict[str, Tensor] = {}
        self._keys: dict[Any, str] = {}

    def value(self, tree: Any, place: str, level: int) -> Iterator[bytes]:
        if level > MOST_LEVELS:
            raise ArgumentError(
                mistake("save", "the tree", f"nested deeper at {place[:200]}", f"at most {MOST_LEVELS} levels",
                        "a container may not hold itself")
            )  # fmt: skip
        if isinstance(tree, Tensor):
            yield from self.tensor(tree)
        elif isinstance(tree, Mapping):
            yield b"}("
            for key, value in tree.items():
                if type(key) not in (str, int):
                    raise ArgumentTypeError(
                        mistake("save", f"a key of {place}", repr(key)[:80], "strings or integers")
                    )
                yield from self.value(key, place, level + 1)
                yield from self.value(value, f"{place}[{key!r}]", level + 1)
            yield b"u"
        elif isinstance(tree, list | tuple):
            yield b"(" if isinstance(tree, tuple) else b"]("
            for at, value in enumerate(tree):
                yield from self.value(value, f"{place}[{at}]", level + 1)
            yield b"t" if isinstance(tree, tuple) else b"e"
        else:
            yield _scalar(tree, place)

    def tensor(self, tensor: Tensor) -> Iterator[bytes]:
        from weft.nn.parameter import Parameter

        if isinstance(tensor, Parameter):
            yield _name("torch._utils", "_rebuild_parameter") + b"("
        array = tensor._data
        geometry = (id(array.storage), array.offset, array.shape, array.strides, array.dtype)
        key = self._keys.setdefault(geometry, str(len(self._keys)))
        self.storages.setdefault(key, tensor)
        shape = tuple(int(size) for size in tensor.shape)
        strides = [math.prod(shape[at + 1 :]) for at in range(len(shape))]
        typed = CLASSES.get(tensor.dtype.numpy.name)
        count = math.prod(shape)
        yield _name("torch._utils", "_rebuild_tensor_v2" if typed else "_rebuild_tensor_v3") + b"("
        yield b"(" + _scalar("storage", "")
        yield _name("torch", typed) if typed else _name("torch.storage", "UntypedStorage")
        yield from (
            _scalar(part, "") for part in (key, "cpu", count if typed else count * tensor.dtype.itemsize)
        )
        yield b"tQ" + _scalar(0, "")
        for numbers in (shape, strides):
            yield b"(" + b"".join(_scalar(number, "") for number in numbers) + b"t"
        yield _scalar(tensor.requires_grad and not isinstance(tensor, Parameter), "")
        yield _name("collections", "OrderedDict") + b")R"
        if not typed:
            yield _name("torch", tensor.dtype.numpy.name)
        yield b"tR"
        if isinstance(tensor, Parameter):
            yield _scalar(tensor.requires_grad, "") + _name("collections", "OrderedDict") + b")RtR"


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _scalar(value: Any, place: str) -> bytes:
    """Return the instruction that pushes a number, a text or None."""
    if isinstance(value, numpy.generic):
        value = value.item()
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
        if len(data) > 255:
            raise ArgumentError(mistake("save", place, "an integer of more than 255 bytes", "a smaller one"))
        return b"\x8a" + bytes([len(data)]) + data
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(data)) + data
    raise ArgumentTypeError(
        mistake("save", place, f"a {type(value).__name__}",
                "a tensor, a number, a text, None, or a dict, list or tuple of these",
                "save its state_dict()" if hasattr(value, "state_dict") else "")
    )  # fmt: skip
