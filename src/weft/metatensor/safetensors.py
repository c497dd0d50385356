"""Conversion of safetensors files to metatensor files and back."""

from __future__ import annotations

import os
from typing import Any

from weft.errors import FormatError, mistake
from weft.metatensor.file import open
from weft.metatensor.infer import Pending
from weft.metatensor.misfit import short
from weft.metatensor.saving import save
from weft.metatensor.tensorfile import write_safetensors
from weft.metatensor.tensors import TensorKind


def from_safetensors(
    source: str | os.PathLike[str], path: str | os.PathLike[str], align: int | None = None
) -> None:
    """Write a safetensors file as a metatensor file, tensor by tensor, with its strings as metadata.

    Raises ``FormatError`` if ``source`` is no safetensors file.
    """
    with open(source) as file:
        if not file.is_safetensors:
            raise FormatError(
                mistake("from_safetensors", repr(file.path), "a metatensor file", "a safetensors file")
            )

        save(
            path,
            {name: _pending(file, name) for name in file.kinds},
            metadata=file.metadata,
            align=align,
        )


def to_safetensors(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write the tensors of a metatensor file as a safetensors file, under their paths.

    Raises ``FormatError`` naming a part that is not a tensor or metadata that is not a string: safetensors has
    neither.
    """
    with open(source) as file:
        for name, value in file.metadata.items():
            if not isinstance(value, str):
                raise FormatError(
                    mistake("to_safetensors", f"metadata {name!r}", short(repr(value)), "a string")
                )
        for name, kind in file.kinds.items():
            if not isinstance(kind, TensorKind):
                raise FormatError(mistake("to_safetensors", name, kind.describe(), "a tensor"))
        write_safetensors(path, {name: _pending(file, name) for name in file.kinds}, file.metadata)


def _pending(file: Any, name: str) -> Any:
    kind = file.kinds[name]
    return Pending(kind.name, kind.shape, lambda: file[name])
