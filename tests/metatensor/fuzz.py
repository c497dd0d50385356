"""A structure-aware fuzzer of the reader: valid files with changed fields, changed bits, or a cut-off end.

Each case must end in a ``FormatError`` or in a correct read, within two seconds and within a limit of memory: twice the
file and 16 MB. ``python -m tests.metatensor.fuzz 20000 0`` runs cases from a seed and prints a report as JSON;
``fuzz_atheris.py`` runs the same ``check`` under a coverage-guided fuzzer for as long as wanted.
"""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import coverage

MOST_SECONDS = 2.0
MOST_BYTES = 16 << 20
SPARE = 64 << 20
"""Additional bytes for the measurement of branches, which stops silently without memory."""
GOLDEN = Path(__file__).parent / "golden"
SOURCES = Path(__file__).parents[2] / "src" / "weft" / "metatensor"
READER = (
    "blob",
    "composite",
    "file",
    "header",
    "kinds",
    "layout",
    "records",
    "schema",
    "tensorfile",
    "union",
    "variable",
)
WRITERS = (
    r"def (write|fill|items|lead|length|bare|encode|joined|takes|array|index|_write_items|_content|_text|_bytes|_timestamp|"
    r"_parts|_columns|_known|_names|_finish|from_safetensors|to_safetensors|write_safetensors|pack|unpack|offsets|table|_leaves|pad|"
    r"_fits|describe|raw|sequence|children|dtype|stride|_has_place_for_data|check_arguments|__repr__|_step|_back)\("
)
"""Functions and lines of these files that are not part of reading."""
NOT_FROM_FILES = (
    r"isinstance\(path, str", r"isinstance\(schema, Element\)", r"if mode not in", r"if parser\.packed", r"if order",
    r"if self\.kind\.asserts", r"if hasattr\(self, \"_handle\"", r"if not got", r"def check\(self, where",
    r"if self\._handle < 0", r"if self\.start \+ end > size", r"def not_too_many",
)  # fmt: skip
"""Branches that depend on arguments and not on the file, and the branch for a file that shrinks between two calls."""


def seeds() -> list[bytes]:
    """Return the expected files, and a safetensors file made by hand."""
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]},
        "c": {"dtype": "BOOL", "shape": [], "data_offsets": [22, 23]},
    }
    text = json.dumps(header).encode()
    foreign = len(text).to_bytes(8, "little") + text + bytes(23)
    return (
        [path.read_bytes() for path in sorted(GOLDEN.glob("*.mt"))]
        + [foreign] * 2
        + [rich("little"), rich("big")] * 3
    )


INDIRECT = {"encoding": "offset-indirect"}


def rich(endian: str) -> bytes:
    """Return a file that nests the features of the expected files in each other."""
    import numpy as np

    from weft import metatensor as mt
    from weft.metatensor.scalars import native

    def record(**fields: Any) -> dict[str, Any]:
        return {"TypeDef:Struct": True, "properties": fields}

    def array(items: Any, count: int | None = None, notes: Any = True) -> dict[str, Any]:
        bounds = {} if count is None else {"minItems": count, "maxItems": count}
        return {"TypeDef:Array": notes, **bounds, "items": items}

    text, byte, flag = {"TypeDef:String": INDIRECT}, {"TypeDef:Uint8": True}, {"TypeDef:Boolean": True}
    row = record(
        on=flag, corners=array(record(x={"TypeDef:Float32": True}, f=flag), 2), when={"TypeDef:Timestamp": True, "maxLength": 24},
        map={"TypeDef:Record": {"maxLength": 32}, "values": byte}, mask={"TypeDef:Tensor": {"dtype": "BOOL", "shape": [2], "align": 1}},
        raw={"TypeDef:Bytes": INDIRECT}, name={"TypeDef:String": True, "maxLength": 4}, brain={"TypeDef:BFloat16": True},
        names=array({"TypeDef:String": True, "maxLength": 4}, 2), e=array({"TypeDef:Enum": True, "enum": ["p", "q"]}, 2),
        spaced=array({"TypeDef:Uint16": {"align": 8}}, 2),
    )  # fmt: skip
    union = {"TypeDef:Union": True, "discriminator": {"kind": "byte", "offset": 2, "type": "Uint16"},
             "mapping": {"1": record(a=text), "2": record(b=array(byte))}}  # fmt: skip
    named = {"TypeDef:Union": True, "discriminator": {"kind": "field", "name": "op"},
             "mapping": {"7": record(op=byte, t=text), "8": record(op=byte)}}  # fmt: skip
    schema = {
        **record(
            rows=array(row, 2), maps={"TypeDef:Record": INDIRECT, "values": text}, unions=array(union), ops=array(named, 2),
            bytes=array({"TypeDef:Bytes": INDIRECT}), words=array({"TypeDef:String": INDIRECT}), brain={"TypeDef:Tensor": {"dtype": "BF16", "shape": [2]}},
            brains=array({"TypeDef:BFloat16": True}), lists=array(array(text, None, INDIRECT), None), times=array({"TypeDef:Timestamp": INDIRECT}),
            pairs=array(array(byte, 2, INDIRECT)), deep=array(array(array(flag, 2), 2), 2), free={"TypeDef:Float32": {"finite": False}},
            group=record(none=record(), nested=record(z=byte)), words_inline=array(record(s={"TypeDef:String": True})),
            many=array(array(named, None, INDIRECT)), odd={"TypeDef:Uint8": True, "align": 32},
        ),
        "endian": endian,
    }  # fmt: skip
    made = {"on": True, "corners": [{"x": 1.0, "f": True}] * 2, "when": "2026-11-21T08:30:00Z", "map": {"a": 1}, "mask": np.ones(2, bool),
            "raw": b"xy", "name": "ab", "brain": 1.0, "names": ["a", "å"], "e": ["p", "q"], "spaced": [1, 2]}  # fmt: skip
    tree = {
        "rows": [made, made], "maps": {"k": "v", "l": "w"}, "unions": [{"1": {"a": "x"}}, {"2": {"b": [1]}}],
        "ops": [{"op": 7, "t": "u"}, {"op": 8}], "bytes": [b"", b"ab"], "words": ["å", "b", ""],
        "brain": np.ones(2, native("bfloat16")), "brains": [1.0, 2.0], "lists": [["a"], []],
        "times": ["2026-11-21T08:30:00Z"], "pairs": [[1, 2]], "deep": np.ones((2, 2, 2), bool), "free": float("inf"),
        "group": {"nested": {"z": 1}}, "words_inline": [{"s": "x"}], "many": [[{"op": 8}]], "odd": 1,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rich.mt")
        mt.save(path, tree, schema)
        return Path(path).read_bytes()


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    count = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + count]), data[8 + count :]


def joined(header: Any, data: bytes) -> bytes:
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    text += b" " * (-(8 + len(text)) % 64)
    return len(text).to_bytes(8, "little") + text + data


NUMBERS = (0, 1, -1, 2, 3, 4, 7, 8, 16, 63, 64, 65, 127, 255, 256, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53,
           2**62, 2**63 - 1, 2**63, 2**64, 10**30, 0.5, -0.0, 1e300)  # fmt: skip
KEYWORDS = tuple(f"TypeDef:{name}" for name in (
    "Int8", "Int16", "Int32", "Int64", "Uint8", "Uint16", "Uint32", "Uint64", "Float16", "BFloat16", "Float32",
    "Float64", "Boolean", "Enum", "String", "Bytes", "Timestamp", "Record", "Struct", "Union", "Array", "Tensor",
    "Nothing"))  # fmt: skip
WORDS = (
    "", "a", "x.y", "$data", "labels.$data", "big", "little", "offset-indirect", "length-prefixed", "byte", "field",
    "F32", "F16", "BF16", "BOOL", "F64", "F8_E5M2", "C64", "#/$defs/Point", "Point", "#", "#/", "http://x/y", "#/schema",
    *KEYWORDS,
)  # fmt: skip
PARTS: tuple[Any, ...] = (
    None, True, False, [], {}, [1], [[]], {"TypeDef:Struct": True}, {"TypeDef:String": {"encoding": "offset-indirect"}},
    {"TypeDef:Uint8": True}, {"TypeDef:Tensor": {"dtype": "F32", "shape": [2]}}, {"$ref": "#"}, {"$ref": "Point"},
    {"TypeDef:Array": True, "items": {"TypeDef:Int8": True}}, {"TypeDef:Enum": True, "enum": ["a", 1]},
    {"TypeDef:Record": {"maxLength": 64}, "values": {"TypeDef:Int8": True}},
    {"TypeDef:Tensor": {"dtype": "F32", "shape": [1] * 65}}, {"TypeDef:Tensor": {"dtype": "C64", "shape": [2**61]}},
    {"TypeDef:Array": True, "minItems": 2**61, "maxItems": 2**61, "items": {"TypeDef:Int64": True}},
    {"TypeDef:Struct": True, "properties": {name: {"TypeDef:Tensor": {"dtype": "I8", "shape": [2**61]}} for name in "abc"}},
    {"TypeDef:Struct": True, "properties": {"op": {"TypeDef:String": True}}},
    {"TypeDef:Struct": True, "properties": {"a.b": {"TypeDef:Int8": True}, "a": {"TypeDef:Struct": True, "properties": {"b": {"TypeDef:Int8": True}}}}},
    {"TypeDef:String": True, "maxLength": 4}, {"TypeDef:Timestamp": True}, {"TypeDef:BFloat16": {"finite": False}},
)  # fmt: skip
KEYS = ("align", "encoding", "maxLength", "minItems", "maxItems", "finite", "endian", "enum", "items", "values", "mapping",
        "discriminator", "kind", "offset", "type", "name", "dtype", "shape", "properties", "$ref", "$defs", "extra")  # fmt: skip


def nodes(tree: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a tree of plain data."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], dict | list):
            nodes(tree[key], found)
    return found


def change_header(header: Any, rng: random.Random) -> None:
    """Change, remove, add, move or rename a field of the header."""
    places = nodes(header, [])
    if not places:
        return
    holder, key = rng.choice(places)
    old = holder[key]
    action = rng.randrange(8)
    if action == 0:
        holder[key] = rng.choice(NUMBERS)
    elif action == 1:
        holder[key] = rng.choice(WORDS)
    elif action == 2:
        holder[key] = copy.deepcopy(rng.choice(PARTS))
    elif action == 3 and isinstance(old, int):
        holder[key] = old + rng.choice((-64, -8, -4, -2, -1, 1, 2, 4, 8, 64))
    elif action == 4:
        del holder[key]
    elif action == 5:
        other, name = rng.choice(places)
        if name in other if isinstance(other, dict) else name < len(other):
            holder[key] = copy.deepcopy(other[name])
    elif action == 6 and isinstance(holder, dict):
        holder[rng.choice((*WORDS, *KEYS))] = holder.pop(key)
    elif isinstance(holder, dict):
        holder[rng.choice(KEYS)] = copy.deepcopy(rng.choice((*NUMBERS, *WORDS, *PARTS)))


def doubling(levels: int, leaf: Any) -> str:
    """Return definitions of structs that refer twice to the next level, as JSON text."""
    both = {"TypeDef:Struct": True}
    defs = {
        f"D{n}": {**both, "properties": {part: {"$ref": f"D{n + 1}"} for part in "ab"}} for n in range(levels)
    }
    return json.dumps({**defs, f"D{levels}": leaf})


def doubled(text: str, rng: random.Random) -> str:
    """Return a header with items that references make very large or nearly empty."""
    levels, leaf = rng.choice(((20, {"TypeDef:Uint8": True}), (12, {"TypeDef:Struct": True})))
    text = text.replace(
        '"items": {',
        '"items": {"TypeDef:Struct": true, "properties": {"x": {"TypeDef:Int8": true}, "y": {"$ref": "D0"}}}, "was": {',
    )
    return text.replace('"schema": {', f'"schema": {{"$defs": {doubling(levels, leaf)}, ', 1)


def change_text(seed: bytes, rng: random.Random) -> bytes:
    """Return the header as text that no tree of plain data encodes to."""
    header, data = split(seed)
    text = json.dumps(header)
    nested = '{"a":' * 70
    text = rng.choice((
        lambda: text.replace('"metatensor"', '"metatensor":1,"metatensor"'), lambda: f"[{text}]", lambda: text.replace("1", "NaN", 1),
        lambda: text.replace("{}", "[" * 150 + "]" * 150), lambda: "[" * 5000, lambda: text.replace('"a"', '"b"'),
        lambda: text.replace('"TypeDef:Struct": true', '"TypeDef:Struct": true, "x": ' + "[" * 210 + "]" * 210, 1),
        lambda: text.replace('"properties": {', '"properties": {"deep": ' + '{"TypeDef:Array": true, "items": ' * 70 + "1" + "}" * 70 + ",", 1),
        lambda: text.replace("1", "9" * 5000, 1), lambda: text[: rng.randrange(len(text))], lambda: nested, lambda: doubled(text, rng),
    ))()  # fmt: skip
    raw = text.encode()
    raw += b" " * (-(8 + len(raw)) % 64)
    return len(raw).to_bytes(8, "little") + raw + data


def mutated(seed: bytes, rng: random.Random) -> bytes:
    """Return a mutation of the seed."""
    kind = rng.randrange(11)
    if kind == 10:
        return change_text(seed, rng)
    if kind < 5:
        header, data = split(seed)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            change_header(header, rng)
        if rng.random() < 0.2:
            data = data[: rng.randrange(len(data) + 1)] + bytes(rng.randrange(3))
        return joined(header, data)
    found = bytearray(seed)
    start = 8 + int.from_bytes(seed[:8], "little")
    if kind == 5:  # bits anywhere
        for _ in range(rng.choice((1, 2, 8))):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    elif kind in (6, 7) and start < len(found):  # values in the data
        for _ in range(rng.choice((1, 1, 2))):
            at = start + rng.randrange(len(found) - start)
            width = rng.choice((1, 2, 4, 4))
            value = rng.choice((0, 1, 2, 255, 2**31, 2**32 - 1, rng.getrandbits(32), len(found))) % 256**width
            found[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
    elif kind == 8:
        del found[rng.randrange(len(found)) :]
    else:
        found[:8] = rng.choice((0, 1, 7, 64, start - 9, start, len(found), 10**8, 2**64 - 1)).to_bytes(
            8, "little"
        )
    return bytes(found)


def check(path: str, data: bytes) -> str:
    """Open a file and read all of it; return "read" or "refused". Any other exception is a bug."""
    from tests.metatensor.hostile import touch, touch_all
    from weft import metatensor as mt
    from weft.errors import FormatError

    with open(path, "wb") as file:
        file.write(data)
    try:
        with mt.open(path, mmap=len(data) % 4 != 0) as opened:
            touch_all(opened)
            touch(opened.tree())
            opened.validate()
            for name in (*opened, "nothing"):
                for way in (opened.records, opened.blob):
                    with suppress(FormatError, KeyError, IndexError):
                        found = way(name)
                        touch(found[:1])
                        found[len(found)]
    except FormatError as error:
        if not (": " in str(error) and len(str(error)) < 2000):
            raise ValueError(f"a message that names nothing: {error}") from error
        return "refused"
    return "read"


def virtual_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def limit_memory(largest: int) -> None:
    """Limit the further growth of memory to 16 MB and twice the file: more is a ``MemoryError``."""
    most = virtual_bytes() + MOST_BYTES + 2 * largest
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def run(cases: int, seed: int, spare: int = 0) -> dict[str, Any]:
    """Run the cases; return the counts of outcomes, the slowest case, and the failures."""
    rng, all_seeds = random.Random(seed), seeds()
    ends = {"read": 0, "refused": 0}
    slowest, failures = 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "case.mt")
        for data in all_seeds:  # also imports all that reading needs
            assert check(path, data) == "read"
        if os.path.exists("/proc/self/statm"):
            limit_memory(2 * max(map(len, all_seeds)) + spare)
        for _ in range(cases):
            data = mutated(rng.choice(all_seeds), rng)
            start = time.process_time()
            try:
                ends[check(path, data)] += 1
            except Exception as error:
                failures.append({"error": f"{type(error).__name__}: {error}"[:300], "file": data.hex()})
            slowest = max(slowest, time.process_time() - start)
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))  # the report on branches has no limit
    return {**ends, "slowest": slowest, "failures": failures[:10], "failed": len(failures)}


def measured(cases: int, seed: int) -> dict[str, Any]:
    """Run the cases and measure the coverage of the reader's branches."""
    files = [str(SOURCES / f"{name}.py") for name in READER]
    meter = coverage.Coverage(branch=True, include=files, data_file=None, config_file=False)
    for pattern in (WRITERS, *NOT_FROM_FILES):
        meter.exclude(pattern)
    meter.start()
    try:
        result = run(cases, seed, SPARE)
    finally:
        meter.stop()
    out = tempfile.NamedTemporaryFile(suffix=".json", delete=False)  # noqa: SIM115
    out.close()
    meter.json_report(outfile=out.name)
    report = json.loads(Path(out.name).read_text())
    os.unlink(out.name)
    missing = {Path(name).stem: entry["missing_branches"] for name, entry in report["files"].items()}
    totals = report["totals"]
    return {
        **result,
        "branches": totals["num_branches"],
        "covered": totals["covered_branches"],
        "missing": missing,
    }


if __name__ == "__main__":
    made = (measured if "--coverage" in sys.argv else run)(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(json.dumps(made))
