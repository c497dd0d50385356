"""The format works without wgpu, llvmlite and the other dependencies of weft."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import importlib.abc, sys, tempfile, os

class Missing(importlib.abc.MetaPathFinder):
    # an environment of NumPy, ml_dtypes and jsonschema-rs only
    names = {"wgpu", "llvmlite", "torch", "scipy", "safetensors", "tqdm", "pyarrow", "matplotlib", "sklearn"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import numpy as np
from weft import metatensor as mt

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "a.mt")
    rows = [{"text": "one", "y": 1}, {"text": "two", "y": 2}]
    schema = mt.Struct(mt.TensorField("w", "BF16", (2,)), mt.Field("name", "String", pattern="^w"), mt.ArrayOf("rows", mt.Struct(
        mt.Field("text", "String", encoding="offset-indirect"), mt.Field("y", "Int8"))))
    import ml_dtypes
    mt.save(path, {"w": np.ones(2, ml_dtypes.bfloat16), "name": "weft", "rows": rows}, schema)
    with mt.open(path) as file:
        assert file.records("rows")[1].text == "two"
        assert file["w"].tolist() == [1, 1]
    receiver = mt.Receiver()
    for stream in mt.chunks(path):
        for piece in stream.parts:
            receiver.feed(stream.name, piece)
    assert receiver.complete
    try:
        mt.save(path, {"w": np.ones(2, ml_dtypes.bfloat16), "name": "x", "rows": rows}, schema)
    except mt.FormatError as error:
        assert "name" in str(error)
    else:
        raise AssertionError("the pattern did not hold")
loaded = {name for name in sys.modules if name.split(".")[0] == "weft"}
others = {name.split(".")[1] for name in loaded if "." in name} - {"metatensor", "elements", "errors"}
assert not others, others
print("alone")
"""


def test_it_stands_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "alone", done.stderr
