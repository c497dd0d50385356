"""``sort`` on the ``cpu``: a stable radix sort by bytes; short rows are sorted by insertion. A work item is a row.

The bits of elements are mapped to unsigned keys of the same order: the sign bit of floats is flipped (for negative
numbers all bits), -0 becomes 0, and NaN the largest key.
"""

from __future__ import annotations

from weft import dtypes
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.templates import template
from weft.dtypes import DType
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

PARAMETERS = ("rows", "n", "x_offset")
SHORT = 24
"""The length up to which rows are sorted by insertion."""
GRAIN = 4096

_INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}


@template("llvm", "sort")
def sort(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel. Buffers: x (rows of n), order (positions of each row's elements in order), and scratch."""
    dtype, descending = library.dtypes[0], bool(dict(library.options)["descending"])
    name = f"sort_{dtype.name}{'_descending' if descending else ''}"
    written = ("order", "keys", "other_order", "other_keys")
    return KernelSpec(
        name=name,
        language="llvm",
        parameters=tuple(Parameter(parameter, dtypes.int64) for parameter in PARAMETERS),
        inputs=(Binding("x", dtype),),
        outputs=tuple(Binding(buffer, dtypes.int64, "read_write") for buffer in written),
        workgroup_size=(GRAIN, 1, 1),
        workgroup_count=("rows", "rows * n", "1"),
        source=_source(name, dtype, descending),
    )


def _source(name: str, dtype: DType, descending: bool) -> str:
    lines = FunctionWriter()
    for number, buffer in enumerate(("x", "order", "keys", "other_order", "other_keys")):
        slot = lines.let(f"getelementptr ptr, ptr %buffers, i64 {number}")
        lines.do(f"%b.{buffer} = load ptr, ptr {slot}, align 8")
    for number, parameter in enumerate(PARAMETERS):
        slot = lines.let(f"getelementptr i64, ptr %parameters, i64 {number}")
        lines.do(f"%{parameter} = load i64, ptr {slot}, align 8")
    counts = lines.local("[2048 x i64]")
    state = [lines.local("ptr") for _ in range(4)]
    short = lines.let(f"icmp sle i64 %n, {SHORT}")
    with lines.loop("%lo", "%hi") as row:
        base = lines.let(f"mul i64 {row}, %n")
        for place, buffer in zip(state, ("order", "keys", "other_order", "other_keys"), strict=True):
            start = lines.let(f"getelementptr i64, ptr %b.{buffer}, i64 {base}")
            lines.do(f"store ptr {start}, ptr {place}, align 8")
        order, keys = (lines.let(f"load ptr, ptr {place}, align 8") for place in state[:2])
        first = lines.let(f"add i64 %x_offset, {base}")
        with lines.loop("0", "%n") as i:
            store(lines, keys, i, sort_key(lines, dtype, descending, lines.let(f"add i64 {first}, {i}")))
            store(lines, order, i, i)
        with lines.when(short):
            insertion_sort(lines, order, keys)
        long = lines.let(f"xor i1 {short}, true")
        with lines.when(long):
            _radix(lines, counts, state, dtype.itemsize)
            last = lines.let(f"load ptr, ptr {state[0]}, align 8")
            moved = lines.let(f"icmp ne ptr {last}, {order}")
            with lines.when(moved), lines.loop("0", "%n") as i:
                store(lines, order, i, load(lines, last, i))
    head = (
        f"define void @weft.{name}(ptr noalias %buffers, ptr noalias %parameters, i64 %lo, i64 %hi) nounwind"
    )
    return lines.function(head) + "\n"


def load(lines: FunctionWriter, base: str, index: str) -> str:
    """Write the load of a 64-bit word; return its name."""
    return lines.let(f"load i64, ptr {lines.let(f'getelementptr i64, ptr {base}, i64 {index}')}, align 8")


def store(lines: FunctionWriter, base: str, index: str, value: str) -> None:
    """Write the store of a 64-bit word."""
    lines.do(f"store i64 {value}, ptr {lines.let(f'getelementptr i64, ptr {base}, i64 {index}')}, align 8")


def sort_key(lines: FunctionWriter, dtype: DType, descending: bool, index: str) -> str:
    """Write the computation of an element's unsigned key, widened to 64 bits; return its name."""
    kind, size = f"i{dtype.bits}", dtype.itemsize
    bits = lines.let(
        f"load {kind}, ptr {lines.let(f'getelementptr {kind}, ptr %b.x, i64 {index}')}, align {size}"
    )
    sign = -(1 << (dtype.bits - 1))
    if dtype.kind == "float":
        magnitude = lines.let(f"and {kind} {bits}, {~sign}")
        nan = lines.let(f"icmp ugt {kind} {magnitude}, {_INFINITY[dtype.name]}")
        zero = lines.let(f"icmp eq {kind} {magnitude}, 0")
        plain = lines.let(f"select i1 {zero}, {kind} 0, {kind} {bits}")
        flip = lines.let(f"or {kind} {lines.let(f'ashr {kind} {plain}, {dtype.bits - 1}')}, {sign}")
        ordered = lines.let(f"xor {kind} {plain}, {flip}")
        key = lines.let(f"select i1 {nan}, {kind} -1, {kind} {ordered}")
    else:
        key = lines.let(f"xor {kind} {bits}, {sign}") if dtype.kind == "int" else bits
    if descending:
        key = lines.let(f"xor {kind} {key}, -1")
    return key if dtype.bits == 64 else lines.let(f"zext {kind} {key} to i64")


def insertion_sort(lines: FunctionWriter, order: str, keys: str, count: str = "%n") -> None:
    """Write an insertion sort of ``count`` keys with their positions."""
    with lines.loop("1", count) as i:
        insert(lines, order, keys, i, load(lines, keys, i), load(lines, order, i))


def insert(lines: FunctionWriter, order: str, keys: str, start: str, key: str, place: str) -> None:
    """Write the insertion of an element into the sorted elements before ``start``; larger elements move up by one."""
    number = lines.fresh("")
    before = lines.block
    lines.do(f"br label %shift{number}")
    lines.label(f"shift{number}")
    lines.do(f"%j{number} = phi i64 [ {start}, %{before} ], [ %below{number}, %move{number} ]")
    lines.do(f"%some{number} = icmp sgt i64 %j{number}, 0")
    lines.do(f"br i1 %some{number}, label %look{number}, label %put{number}")
    lines.label(f"look{number}")
    lines.do(f"%below{number} = sub i64 %j{number}, 1")
    other = load(lines, keys, f"%below{number}")
    larger = lines.let(f"icmp ugt i64 {other}, {key}")
    lines.do(f"br i1 {larger}, label %move{number}, label %put{number}")
    lines.label(f"move{number}")
    store(lines, keys, f"%j{number}", other)
    store(lines, order, f"%j{number}", load(lines, order, f"%below{number}"))
    lines.do(f"br label %shift{number}")
    lines.label(f"put{number}")
    store(lines, keys, f"%j{number}", key)
    store(lines, order, f"%j{number}", place)


def _digit(lines: FunctionWriter, key: str, byte: int) -> str:
    shifted = lines.let(f"lshr i64 {key}, {8 * byte}") if byte else key
    return lines.let(f"and i64 {shifted}, 255")


def _radix(lines: FunctionWriter, counts: str, state: list[str], size: int) -> None:
    """Write the radix sort: a pass counts the digits of all bytes; then each byte, unless constant, takes a pass."""
    with lines.loop("0", str(256 * size)) as i:
        store(lines, counts, i, "0")
    keys = lines.let(f"load ptr, ptr {state[1]}, align 8")
    with lines.loop("0", "%n") as i:
        key = load(lines, keys, i)
        for byte in range(size):
            at = lines.let(f"add i64 {_digit(lines, key, byte)}, {256 * byte}")
            store(lines, counts, at, lines.let(f"add i64 {load(lines, counts, at)}, 1"))
    for byte in range(size):
        order, keys, other_order, other_keys = (
            lines.let(f"load ptr, ptr {place}, align 8") for place in state
        )
        digit_of_first = lines.let(f"add i64 {_digit(lines, load(lines, keys, '0'), byte)}, {256 * byte}")
        needed = lines.let(f"icmp ne i64 {load(lines, counts, digit_of_first)}, %n")
        with lines.when(needed):
            total = lines.local("i64")
            lines.do(f"store i64 0, ptr {total}, align 8")
            with lines.loop(str(256 * byte), str(256 * byte + 256)) as i:
                before = lines.let(f"load i64, ptr {total}, align 8")
                after = lines.let(f"add i64 {before}, {load(lines, counts, i)}")
                lines.do(f"store i64 {after}, ptr {total}, align 8")
                store(lines, counts, i, before)
            with lines.loop("0", "%n") as i:
                key = load(lines, keys, i)
                at = lines.let(f"add i64 {_digit(lines, key, byte)}, {256 * byte}")
                place = load(lines, counts, at)
                store(lines, counts, at, lines.let(f"add i64 {place}, 1"))
                store(lines, other_keys, place, key)
                store(lines, other_order, place, load(lines, order, i))
            for target, value in zip(state, (other_order, other_keys, order, keys), strict=True):
                lines.do(f"store ptr {value}, ptr {target}, align 8")
