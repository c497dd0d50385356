"""The JavaScript reader, written from the description of the format, reads every expected file under Node.js."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.metatensor.golden_cases import FILES, FOLDER, Golden

READER = Path(__file__).parents[2] / "examples" / "metatensor.mjs"
NODE = shutil.which("node")


def needs_node() -> str:
    """Return the path of Node.js; without it skip the test, or fail it if Node.js is required."""
    if NODE is None:
        reason = "node is not installed: the JavaScript reader is not tested (Debian: apt-get install nodejs)"
        if os.environ.get("WEFT_REQUIRE_NODE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return NODE


def as_javascript(schema: Any, value: Any, defs: Any) -> Any:
    """Return a value as the reader prints it: 64-bit integers as text, bytes and tensors as flat lists."""
    schema = defs[schema["$ref"].split("/")[-1]] if "$ref" in schema else schema
    if "TypeDef:Int64" in schema or "TypeDef:Uint64" in schema:
        return str(value)
    if "TypeDef:Tensor" in schema:
        eighth = schema["TypeDef:Tensor"]["dtype"] == "F8_E4M3"
        return [0x38] if eighth else value if isinstance(value, list) else [value]
    if "TypeDef:Struct" in schema:
        return {name: as_javascript(schema["properties"][name], inner, defs) for name, inner in value.items()}
    if "TypeDef:Array" in schema:
        return [as_javascript(schema["items"], inner, defs) for inner in value]
    return list(value) if isinstance(value, bytes) else value


@pytest.mark.parametrize("golden", FILES, ids=lambda golden: golden.name)
def test_reads_the_golden_files(golden: Golden) -> None:
    path = FOLDER / f"{golden.name}.mt"
    done = subprocess.run([needs_node(), str(READER), str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == as_javascript(golden.schema, golden.tree, golden.schema.get("$defs"))


def test_refuses_another_version(tmp_path: Path) -> None:
    path = tmp_path / "new.mt"
    path.write_bytes((FOLDER / "empty.mt").read_bytes().replace(b'"metatensor":1', b'"metatensor":2'))
    done = subprocess.run([needs_node(), str(READER), str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "version 2" in done.stderr
