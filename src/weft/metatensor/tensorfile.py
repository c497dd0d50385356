"""safetensors files: their headers as schemas, and there and back as files."""

from __future__ import annotations

import json
import math
import os
from typing import Any

from weft.errors import FormatError, mistake
from weft.metatensor.atomic import replacing
from weft.metatensor.header import no_overlap, span
from weft.metatensor.misfit import Misfit, named, short
from weft.metatensor.scalars import TENSORS, native
from weft.metatensor.schema import check_shape

META = "__metadata__"


def translate(where: str, header: dict[str, Any], size: int) -> tuple[Any, Any, dict[str, tuple[int, int]]]:
    """A safetensors header as schema, metadata and offsets, checked as its own library does.

    The tensors' alignment is asked of nobody: the format does not promise one.
    """
    metadata = header.get(META, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError(mistake(where, META, short(repr(metadata)), "an object of strings"))
    properties, offsets = {}, {}
    for name, entry in header.items():
        if name == META:
            continue
        with named(where, name):
            properties[name] = _entry(entry)
        offsets[name] = span(where, name, entry["data_offsets"], size)
        start, end = offsets[name]
        needed = math.prod(entry["shape"]) * native(TENSORS[entry["dtype"]]).itemsize
        if end - start != needed:
            raise FormatError(
                mistake(
                    where,
                    f"data_offsets of {short(repr(name))}",
                    f"{end - start} bytes",
                    f"{needed} by its shape",
                )
            )
    no_overlap(where, offsets)
    if sum(end - start for start, end in offsets.values()) != size:
        raise FormatError(
            mistake(where, "the data", f"{size} bytes long", "the tensors' bytes and no others")
        )
    return {"TypeDef:Struct": True, "properties": properties}, metadata, offsets


def _entry(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise Misfit(repr(entry), "an object with dtype, shape and data_offsets")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in TENSORS:
        raise Misfit(f"of dtype {entry['dtype']!r}", f"one of {', '.join(TENSORS)}")
    check_shape(entry["shape"], native(TENSORS[entry["dtype"]]).itemsize)
    return {"TypeDef:Tensor": {"dtype": entry["dtype"], "shape": entry["shape"]}}


def from_safetensors(
    source: str | os.PathLike[str], path: str | os.PathLike[str], align: int | None = None
) -> None:
    """Write a safetensors file as a metatensor file, tensor by tensor; its strings become the metadata."""
    from weft.metatensor.file import open
    from weft.metatensor.infer import Pending
    from weft.metatensor.saving import save

    with open(source) as file:
        if not file._contents.safetensors:
            raise FormatError(
                mistake("from_safetensors", repr(file.path), "a metatensor file", "a safetensors file")
            )

        def pending(name: str, kind: Any) -> Pending:
            return Pending(kind.name, kind.shape, lambda: file[name])

        save(
            path,
            {name: pending(name, kind) for name, kind in file.kinds.items()},
            metadata=file.metadata,
            align=align,
        )


def to_safetensors(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write the tensors of a metatensor file as a safetensors file, under their paths.

    Raises ``FormatError`` naming the part that is no tensor, or the metadata that is no string: safetensors has
    neither.
    """
    from weft.metatensor.file import open
    from weft.metatensor.kinds import raw
    from weft.metatensor.tensors import TensorKind

    with open(source) as file:
        for name, value in file.metadata.items():
            if not isinstance(value, str):
                raise FormatError(
                    mistake("to_safetensors", f"metadata {name!r}", short(repr(value)), "a string")
                )
        for name, kind in file.kinds.items():
            if not isinstance(kind, TensorKind):
                raise FormatError(mistake("to_safetensors", name, kind.describe(), "a tensor"))
            if name == META:
                raise FormatError(
                    mistake("to_safetensors", "a name", repr(name), "another: the format keeps it")
                )
        kinds: dict[str, TensorKind] = {
            name: kind for name, kind in file.kinds.items() if isinstance(kind, TensorKind)
        }
        # by falling element size, as the format's library does it: then each tensor is aligned to its elements
        names = sorted(kinds, key=lambda name: (-kinds[name].element.itemsize, name))
        header: dict[str, Any] = {META: file.metadata} if file.metadata else {}
        end = 0
        for name in names:
            kind, start = kinds[name], end
            end = start + (kind.size or 0)
            header[name] = {"dtype": kind.name, "shape": list(kind.shape), "data_offsets": [start, end]}
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with replacing(path) as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                out.write(raw(file[name].astype(kinds[name].element, copy=False)))
