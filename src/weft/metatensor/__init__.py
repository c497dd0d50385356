"""metatensor: a binary file format whose layout is a JSON Schema. Of weft it needs ``errors`` and ``elements`` only.

A file is a header (the schema, a table of offsets, free metadata) and data. ``compile`` returns the layout of a
schema, ``save`` writes files and ``open`` maps them into memory. docs/metatensor.md describes the bytes.
"""

from weft.errors import FormatError
from weft.metatensor.arrow import from_arrow, to_arrow
from weft.metatensor.blob import Blob
from weft.metatensor.components import ArrayOf, Field, Struct, TensorField, from_schema, to_schema
from weft.metatensor.file import File, open
from weft.metatensor.infer import Pending, schema_of
from weft.metatensor.layout import Layout, compile
from weft.metatensor.records import Records, Row
from weft.metatensor.safetensors import from_safetensors, to_safetensors
from weft.metatensor.saving import save
from weft.metatensor.streaming import Receiver, Stream, chunks
from weft.metatensor.versions import Delta, diff, migrate

__all__ = [
    "ArrayOf",
    "Blob",
    "Delta",
    "Field",
    "File",
    "FormatError",
    "Layout",
    "Pending",
    "Receiver",
    "Records",
    "Row",
    "Stream",
    "Struct",
    "TensorField",
    "chunks",
    "compile",
    "diff",
    "from_arrow",
    "from_safetensors",
    "from_schema",
    "migrate",
    "open",
    "save",
    "schema_of",
    "to_arrow",
    "to_safetensors",
    "to_schema",
]
