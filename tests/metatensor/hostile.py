"""Builds invalid files from a header as plain data and bytes, and reads all of a file."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from weft import metatensor as mt
from weft.errors import FormatError
from weft.metatensor.file import File


def built(header: dict[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a file of a header and data that claims ``length`` as the header's length."""
    text = header if isinstance(header, bytes) else json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def header(properties: dict[str, Any], offsets: dict[str, Any], **more: Any) -> dict[str, Any]:
    schema = {"TypeDef:Struct": True, "properties": properties}
    return {"metatensor": 1, "schema": schema, "offsets": offsets, **more}


def touch(value: Any) -> None:
    """Read all of a value from a file, by every way of reading; the first mistake is raised."""
    if isinstance(value, mt.Records):
        with suppress(FormatError):
            value.array  # noqa: B018
        for name in value.kind.by_name:
            with suppress(FormatError):
                touch(value.column(name))
        for row in value:
            touch(row.to_dict())
            assert not hasattr(row, "no such field")
        for name in value.kind.by_name:
            touch(value.column(name))
    elif isinstance(value, mt.Blob):
        with suppress(FormatError):
            value.tolist()
        for index in range(len(value)):
            touch(value[index])
        value.tolist()
    elif isinstance(value, dict):
        for inner in value.values():
            touch(inner)
    elif isinstance(value, list):
        for inner in value:
            touch(inner)
    elif hasattr(value, "sum") and hasattr(value, "tobytes"):
        value.tobytes()


def touch_all(file: File) -> None:
    for name in file:
        touch(file[name])
