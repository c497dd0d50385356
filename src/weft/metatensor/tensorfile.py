"""The safetensors format: its headers as schemas, and its writer."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

from weft.errors import ArgumentError, FormatError, mistake
from weft.metatensor.atomic import replacing
from weft.metatensor.header import no_overlap, span
from weft.metatensor.kinds import raw
from weft.metatensor.misfit import Misfit, named, short
from weft.metatensor.scalars import TENSORS, native
from weft.metatensor.schema import check_shape

META = "__metadata__"


def translate(where: str, header: dict[str, Any], size: int) -> tuple[Any, Any, dict[str, tuple[int, int]]]:
    """Return a safetensors header as schema, metadata and offsets, with the checks of the safetensors library.

    The alignment of tensors is not checked, because the format does not promise any.
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


def write_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write ``Pending`` tensors by name as a safetensors file, atomically; each is read when it is written."""
    # in order of decreasing element size, as in the safetensors library: this aligns each tensor to its elements
    elements = {name: native(TENSORS[tensor.dtype]) for name, tensor in tensors.items()}
    names = sorted(tensors, key=lambda name: (-elements[name].itemsize, name))
    header: dict[str, Any] = {META: dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        tensor, start = tensors[name], end
        if name == META:
            raise FormatError(mistake("save", "a name", repr(name), "another: the format keeps it"))
        end = start + math.prod(tensor.shape) * elements[name].itemsize
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            mistake(
                "save",
                "a name or text",
                ascii(error.object[error.start : error.end]),
                "text that UTF-8 encodes",
            )
        ) from None
    text += b" " * (-len(text) % 8)
    with replacing(path) as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            out.write(raw(tensors[name].read().astype(elements[name], copy=False)))
