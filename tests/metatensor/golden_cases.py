"""The expected files: the schema, values, offsets and bytes of each feature, worked out by hand.

Nothing here comes from the package: ``file_bytes`` puts a header and the bytes together with ``json`` alone. Run as
a script (``python -m tests.metatensor.golden_cases``) it writes them to ``golden/``.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "golden"
STRING, INDIRECT = {"TypeDef:String": True}, {"TypeDef:String": {"encoding": "offset-indirect"}}


def number(name: str, **beside: Any) -> dict[str, Any]:
    return {f"TypeDef:{name}": True, **beside}


def record(**fields: Any) -> dict[str, Any]:
    return {"TypeDef:Struct": True, "properties": fields}


def array(items: Any, count: int | None = None, notes: Any = True) -> dict[str, Any]:
    bounds = {} if count is None else {"minItems": count, "maxItems": count}
    return {"TypeDef:Array": notes, **bounds, "items": items}


def tensor(dtype: str, *shape: int, **notes: Any) -> dict[str, Any]:
    return {"TypeDef:Tensor": {"dtype": dtype, "shape": list(shape), **notes}}


@dataclass(frozen=True)
class Golden:
    """A file: ``data`` in hexadecimal, with a row of text for each field."""

    name: str
    schema: Any
    tree: Any
    offsets: dict[str, list[int]]
    data: str
    metadata: dict[str, Any] = field(default_factory=dict)
    endian: str = "little"

    def payload(self) -> bytes:
        return bytes.fromhex(self.data)

    def file_bytes(self) -> bytes:
        header = {"metatensor": 1, "endian": self.endian, "metadata": self.metadata, "schema": self.schema,
                  "offsets": self.offsets}  # fmt: skip
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % 64)
        return struct.pack("<Q", len(text)) + text + self.payload()


@dataclass(frozen=True)
class Frame:
    """A packed value, as it is sent over a wire."""

    name: str
    schema: Any
    value: Any
    data: str


def zeros(count: int) -> str:
    return "00" * count


WEIGHT = [float(n) for n in range(500)]
BIAS = [0.5 * n for n in range(20)]

FILES = [
    Golden(
        "numbers",
        record(
            i8=number("Int8"), i16=number("Int16"), i32=number("Int32"), i64=number("Int64"),
            u8=number("Uint8"), u16=number("Uint16"), u32=number("Uint32"), u64=number("Uint64"),
            f16=number("Float16"), b16=number("BFloat16"), f32=number("Float32"), f64=number("Float64"),
        ),
        {"i8": -1, "i16": -2, "i32": -3, "i64": -4, "u8": 255, "u16": 65534, "u32": 2**32 - 3, "u64": 2**64 - 4,
         "f16": 1.5, "b16": -2.5, "f32": 0.25, "f64": 0.1},
        {"i8": [0, 1], "i16": [2, 4], "i32": [4, 8], "i64": [8, 16], "u8": [16, 17], "u16": [18, 20], "u32": [20, 24],
         "u64": [24, 32], "f16": [32, 34], "b16": [34, 36], "f32": [36, 40], "f64": [40, 48]},
        "ff 00 feff fdffffff fcffffffffffffff"  # i8, padding, i16, i32, i64
        "ff 00 feff fdffffff fcffffffffffffff"  # u8, padding, u16, u32, u64
        "003e 20c0 0000803e 9a9999999999b93f",  # f16, b16, f32, f64
    ),
    Golden(
        "big_endian",
        {**record(tag=number("Uint16"), choice=number("Enum", enum=["a", "b"]), text=STRING, small=number("Uint8"),
                  real=number("Float32"), weight=tensor("I16", 2)), "endian": "big"},
        {"tag": 0x0102, "choice": "b", "text": "hi", "small": 7, "real": 1.0, "weight": [1, -2]},
        {"tag": [0, 2], "choice": [4, 8], "text": [8, 14], "small": [14, 15], "real": [16, 20], "weight": [64, 68]},
        "0102 0000 00000001 00000002 6869 07 00 3f800000" + zeros(44) + "0001 fffe",
        endian="big",
    ),
    Golden(
        "boolean_enum",
        record(on=number("Boolean"), off=number("Boolean"), color=number("Enum", enum=["red", "green", "blue"])),
        {"on": True, "off": False, "color": "green"},
        {"on": [0, 1], "off": [1, 2], "color": [4, 8]},
        "01 00 0000 01000000",
    ),
    Golden(
        "text_inline",
        record(a=STRING, b=number("Bytes"), t=number("Timestamp")),
        {"a": "héj", "b": b"\x00\xff", "t": "2026-11-21T08:30:00Z"},
        {"a": [0, 8], "b": [8, 14], "t": [16, 40]},
        "04000000 68c3a96a  02000000 00ff 0000  14000000 323032362d31312d32315430383a33303a30305a",
    ),
    Golden(
        "text_reserved",
        record(name=number("String", maxLength=8), raw=number("Bytes", maxLength=3), n=number("Uint32")),
        {"name": "weft", "raw": b"\x01\x02", "n": 7},
        {"name": [0, 8], "raw": [8, 11], "n": [12, 16]},
        "7765667400000000 010200 00 07000000",
    ),
    Golden(
        "text_indirect",
        record(title=INDIRECT, body={"TypeDef:Bytes": {"encoding": "offset-indirect"}}),
        {"title": "ab", "body": b"\xff"},
        {"title": [0, 8], "title.$data": [8, 10], "body": [12, 20], "body.$data": [20, 21]},
        "00000000 02000000 6162 0000 00000000 01000000 ff",
    ),
    Golden(
        "text_list",
        record(words=array(STRING)),
        {"words": ["a", "bcd"]},
        {"words": [0, 19]},
        "02000000 01000000 61 000000 03000000 626364",
    ),
    Golden(
        "model",  # the example of the format's specification
        record(conv1=record(weight=tensor("F32", 20, 1, 5, 5), bias=tensor("F32", 20)), labels=array(INDIRECT, 3)),
        {"conv1": {"weight": WEIGHT, "bias": BIAS}, "labels": ["airplane", "cat", "horse"]},
        {"conv1.weight": [0, 2000], "conv1.bias": [2048, 2128], "labels": [2176, 2200], "labels.$data": [2200, 2216]},
        struct.pack("<500f", *WEIGHT).hex() + zeros(48) + struct.pack("<20f", *BIAS).hex() + zeros(48)
        + "00000000 08000000 08000000 03000000 0b000000 05000000" + b"airplanecathorse".hex(),
        metadata={"step": "1200"},
    ),
    Golden(
        "record",
        record(counts={"TypeDef:Record": True, "values": number("Int16")}),
        {"counts": {"a": 1, "bc": -1}},
        {"counts": [0, 20]},
        "02000000 01000000 61 00 0100 02000000 6263 ffff",
    ),
    Golden(
        "struct_nested",
        record(a=number("Uint8"), inner=record(x=number("Uint16"), y=number("Uint64"), z=number("Uint8")), b=number("Uint8")),
        {"a": 1, "inner": {"x": 2, "y": 3, "z": 4}, "b": 5},
        {"a": [0, 1], "inner.x": [8, 10], "inner.y": [16, 24], "inner.z": [24, 25], "b": [32, 33]},
        "01" + zeros(7) + "0200" + zeros(6) + "0300000000000000 04" + zeros(7) + "05",
    ),
    Golden(
        "arrays",
        record(fixed=array(number("Uint16"), 3), varying=array(number("Float32")), flags=array(number("Boolean"), 2),
               wide=array(number("Int64")), pairs=array(array(number("Int8"), 2), 2)),
        {"fixed": [1, 2, 3], "varying": [1.0], "flags": [True, False], "wide": [5], "pairs": [[1, 2], [3, 4]]},
        {"fixed": [0, 6], "varying": [8, 16], "flags": [16, 18], "wide": [24, 40], "pairs": [40, 44]},
        "0100 0200 0300 0000 01000000 0000803f 01 00" + zeros(6) + "01000000 00000000 0500000000000000 01020304",
    ),
    Golden(
        "dataset",
        record(train=array(record(id=number("Uint16"), score=number("Float32"), tag=number("Enum", enum=["x", "y"])))),
        {"train": [{"id": 1, "score": 1.0, "tag": "x"}, {"id": 2, "score": -2.0, "tag": "y"}]},
        {"train": [0, 28]},
        "02000000  0100 0000 0000803f 00000000  0200 0000 000000c0 01000000",
    ),
    Golden(
        "dataset_text",
        record(rows=array(record(text=INDIRECT, label=number("Uint8")), 2)),
        {"rows": [{"text": "one", "label": 5}, {"text": "två", "label": 6}]},
        {"rows": [0, 24], "rows.$data": [24, 31]},
        "00000000 03000000 05 000000  03000000 04000000 06 000000  6f6e65 7476c3a5",
    ),
    Golden(
        "ragged",
        record(lists=array(array(number("Int16"), notes={"encoding": "offset-indirect"}))),
        {"lists": [[1, 2], [], [3]]},
        {"lists": [0, 28], "lists.$data": [28, 34]},
        "03000000  00000000 04000000  04000000 00000000  04000000 02000000  0100 0200 0300",
    ),
    Golden(
        "union_byte",
        record(frames=array({"TypeDef:Union": True, "discriminator": {"kind": "byte", "offset": 0, "type": "Uint8"},
                             "mapping": {"5": record(id=number("Uint32")), "6": record(len=number("Uint16"))}}, 2)),
        {"frames": [{"5": {"id": 7}}, {"6": {"len": 8}}]},
        {"frames": [0, 16]},
        "05 000000 07000000  06 000000 0800 0000",
    ),
    Golden(
        "union_field",
        record(shapes=array({"TypeDef:Union": {"discriminator": {"kind": "field", "name": "type"},
                                               "mapping": {"circle": record(r=number("Float32")),
                                                           "box": record(w=number("Uint8"), h=number("Uint8"))}}}, 2)),
        {"shapes": [{"type": "box", "w": 1, "h": 2}, {"type": "circle", "r": 1.0}]},
        {"shapes": [0, 16]},
        "01000000 01 02 0000  00000000 0000803f",
    ),
    Golden(
        "references",
        {**record(a={"$ref": "#/$defs/Point"}, b=array({"$ref": "Point"}, 2)),
         "$defs": {"Point": record(x=number("Int8"), y=number("Int8"))}},
        {"a": {"x": 1, "y": 2}, "b": [{"x": 3, "y": 4}, {"x": 5, "y": 6}]},
        {"a.x": [0, 1], "a.y": [1, 2], "b": [2, 6]},
        "01 02 0304 0506",
    ),
    Golden(
        "align",
        record(a=number("Uint8"), b={"TypeDef:Float32": {"align": 16}}, c={**record(d=number("Uint8")), "align": 16},
               e=number("Uint8")),
        {"a": 1, "b": 1.0, "c": {"d": 2}, "e": 3},
        {"a": [0, 1], "b": [16, 20], "c.d": [32, 33], "e": [48, 49]},
        "01" + zeros(15) + "0000803f" + zeros(12) + "02" + zeros(15) + "03",
    ),
    Golden(
        "tensors",
        record(half=tensor("BF16", 2), flags=tensor("BOOL", 3), none=tensor("F32", 0, 2), one=tensor("F64"),
               eighth=tensor("F8_E4M3", 1), gpu=tensor("I32", 1, align=256)),
        {"half": [1.0, -2.0], "flags": [True, False, True], "none": [], "one": 0.5, "eighth": [1.0], "gpu": [9]},
        {"half": [0, 4], "flags": [64, 67], "none": [128, 128], "one": [128, 136], "eighth": [192, 193], "gpu": [256, 260]},
        "803f 00c0" + zeros(60) + "01 00 01" + zeros(61) + "000000000000e03f" + zeros(56) + "38" + zeros(63) + "09000000",
    ),
    Golden("empty", record(), {}, {}, "", metadata={"note": "näda", "list": [1, None]}),
]  # fmt: skip

FRAMES = [
    Frame(
        "example",
        record(a=number("Uint8"), b=number("Uint32"), c=STRING),
        {"a": 1, "b": 2, "c": "0123456789"},
        "01 02000000 0a000000 30313233343536373839",
    ),
    Frame(
        "request",
        {"TypeDef:Union": True, "endian": "big", "discriminator": {"kind": "byte", "offset": 0, "type": "TypeDef:Uint8"},
         "mapping": {"5": record(id=number("Uint32"), handle=STRING, offset=number("Uint64"), length=number("Uint32")),
                     "101": record(id=number("Uint32"))}},
        {"5": {"id": 1, "handle": "ab", "offset": 3, "length": 4}},
        "05 00000001 00000002 6162 0000000000000003 00000004",
    ),
    Frame(
        "operation",
        {"TypeDef:Union": True, "discriminator": {"kind": "field", "name": "op"},
         "mapping": {"put": record(op=STRING, n=number("Uint16")), "get": record(op=STRING)}},
        {"op": "put", "n": 2},
        "03000000 707574 0200",
    ),
    Frame(
        "mixed",
        record(list=array(number("Uint16")), map={"TypeDef:Record": True, "values": number("Float32")},
               pick=number("Enum", enum=["x", "y"]), on=number("Boolean"), weight=tensor("F32", 1)),
        {"list": [1, 2], "map": {"k": 1.5}, "pick": "y", "on": True, "weight": [2.0]},
        "02000000 0100 0200  01000000 01000000 6b 0000c03f  01000000  01  00000040",
    ),
    Frame(
        "always_inline",
        record(reserved=number("String", maxLength=8), indirect=INDIRECT, aligned={"TypeDef:Uint16": {"align": 16}}),
        {"reserved": "ab", "indirect": "c", "aligned": 1},
        "02000000 6162 01000000 63 0100",
    ),
]  # fmt: skip


def write_all() -> None:
    for golden in FILES:
        (FOLDER / f"{golden.name}.mt").write_bytes(golden.file_bytes())
    for frame in FRAMES:
        (FOLDER / f"{frame.name}.frame").write_bytes(bytes.fromhex(frame.data))


if __name__ == "__main__":
    write_all()
