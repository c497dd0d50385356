"""``quantized_linear`` on the ``cpu``: rows of 8-bit activations by a matrix of 4 or 8 bits.

A work item is a block of 16 rows of the matrix and a tile of rows of activations. The lanes of a vector are the block's
rows, so that no sum crosses lanes: a dot product of four bytes adds four columns of all 16 rows at a time.
"""

from __future__ import annotations

from weft import dtypes
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.templates import template
from weft.expr.llvm import PROVIDED
from weft.kernels.library.quantized import GROUP, QUAD, ROWS, group_bytes
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

BYTES, INTS, FLOATS = f"<{ROWS * QUAD} x i8>", f"<{ROWS} x i32>", f"<{ROWS} x float>"
DOT = f"{PROVIDED}dot4.v{ROWS}i32"
"""The sum of an i32 and the products of four unsigned by four signed bytes, in each lane."""
ELEMENT = {dtypes.float16: "half", dtypes.float32: "float"}


@template("llvm", "quantized_linear")
def quantized_linear(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel. Buffers: quants, factors, sums (``quantize_rows``), packed, scales, minima if any, out."""
    options = dict(library.options)
    names = [
        "quants",
        "factors",
        "sums",
        "packed",
        "scales",
        *(["minima"] if options["minima"] else []),
        "out",
    ]
    bindings = [Binding(name, dtype) for name, dtype in zip(names[:-1], library.dtypes[:-1], strict=True)]
    tile = int(options["tile"])
    name = "_".join(
        [
            "quantized_linear",
            *(f"{key}{int(value)}" for key, value in library.options),
            library.dtypes[4].name,
        ]
    )
    parameters = ("count", "rows", "groups", *(f"{buffer}_offset" for buffer in names))
    tiles, blocks = f"ceil_div(count, {tile})", f"ceil_div(rows, {ROWS})"
    return KernelSpec(
        name=name,
        language="llvm",
        parameters=tuple(Parameter(parameter, dtypes.int64) for parameter in parameters),
        inputs=tuple(bindings),
        outputs=(Binding("out", dtypes.float32, "read_write"),),
        workgroup_size=(1, 1, 1),
        workgroup_count=(f"{tiles} * {blocks}", f"count * rows * groups * {GROUP}", "1"),
        source=_Writer(name, library, names, parameters).source(),
    )


class _Writer:
    def __init__(self, name: str, library: Library, names: list[str], parameters: tuple[str, ...]) -> None:
        options = dict(library.options)
        self.name, self.names, self.parameters = name, names, parameters
        self.bits, self.tile, self.zero = (int(options[key]) for key in ("bits", "tile", "zero"))
        self.share, self.minima = int(options["share"]), bool(options["minima"])
        self.group = int(options["group"])
        self.scale_type = ELEMENT[library.dtypes[4]]
        self.lines = FunctionWriter()

    def source(self) -> str:
        """Return the module."""
        lines = self.lines
        for number, buffer in enumerate(self.names):
            slot = lines.let(f"getelementptr ptr, ptr %buffers, i64 {number}")
            lines.do(f"%b.{buffer} = load ptr, ptr {slot}, align 8")
        for number, parameter in enumerate(self.parameters):
            slot = lines.let(f"getelementptr i64, ptr %parameters, i64 {number}")
            lines.do(f"%{parameter} = load i64, ptr {slot}, align 8")
        tiles = lines.let(f"udiv i64 {lines.let(f'add i64 %count, {self.tile - 1}')}, {self.tile}")
        last = lines.let("sub i64 %count, 1")
        with lines.loop("%lo", "%hi") as item:
            block = lines.let(f"udiv i64 {item}, {tiles}")
            first = lines.let(f"mul i64 {lines.let(f'urem i64 {item}, {tiles}')}, {self.tile}")
            wanted = [lines.let(f"add i64 {first}, {number}") for number in range(self.tile)]
            rows = [lines.let(f"call i64 @llvm.umin.i64(i64 {row}, i64 {last})") for row in wanted]
            sums = self._sums(block, rows)
            for row, total in zip(wanted, sums, strict=True):
                with lines.when(lines.let(f"icmp slt i64 {row}, %count")):
                    self._store(block, row, total)
        arguments = "ptr noalias %buffers, ptr noalias %parameters, i64 %lo, i64 %hi"
        head = f"define void @weft.{self.name}({arguments}) nounwind"
        declared = [
            "declare i64 @llvm.umin.i64(i64, i64)",
            f"declare {INTS} @{DOT}({INTS}, {BYTES}, {BYTES})",
            f"declare {FLOATS} @llvm.fma.v{ROWS}f32({FLOATS}, {FLOATS}, {FLOATS})",
            f"declare void @llvm.masked.store.v{ROWS}f32.p0({FLOATS}, ptr, i32, <{ROWS} x i1>)",
        ]
        return "\n\n".join([lines.function(head), *declared]) + "\n"

    def _sums(self, block: str, rows: list[str]) -> list[str]:
        """The results of a block for each row of the tile."""
        lines, let = self.lines, self.lines.let
        totals = [lines.local(FLOATS) for _ in rows]
        for total in totals:
            lines.do(f"store {FLOATS} zeroinitializer, ptr {total}, align 64")
        parts = let(f"mul i64 %groups, {GROUP // self.group}")
        groups = [let(f"mul i64 {row}, {parts}") for row in rows]
        start = let(f"mul i64 {block}, {parts}")
        scales = let(f"udiv i64 {parts}, {self.share}")
        scale_start = let(f"mul i64 {block}, {scales}")
        plane = let(f"mul i64 %count, {parts}")
        with lines.loop("0", parts) as group:
            weights = self._weights(let(f"add i64 {start}, {group}"))
            own = group if self.share == 1 else let(f"udiv i64 {group}, {self.share}")
            scale_place = let(f"mul i64 {let(f'add i64 {scale_start}, {own}')}, {ROWS}")
            scale = self._numbers("scales", scale_place)
            minimum = self._numbers("minima", scale_place) if self.minima else None
            for total, first in zip(totals, groups, strict=True):
                place = let(f"add i64 {first}, {group}")
                dot = self._dot(weights, place)
                factor = self._spread("float", self._load("float", "factors", place))
                whole = let(f"sitofp {INTS} {dot} to {FLOATS}")
                weighed = let(f"fmul {FLOATS} {scale}, {factor}")
                old = let(f"load {FLOATS}, ptr {total}, align 64")
                new = self._fma(whole, weighed, old)
                if minimum is not None:
                    second = self._load("float", "factors", let(f"add i64 {plane}, {place}"))
                    new = self._fma(minimum, self._spread("float", second), new)
                lines.do(f"store {FLOATS} {new}, ptr {total}, align 64")
        return [let(f"load {FLOATS}, ptr {total}, align 64") for total in totals]

    def _weights(self, group: str) -> list[str]:
        """The quads of a group of activations, each four columns of all rows, as unsigned bytes."""
        let = self.lines.let
        mask, four = (f"splat (i8 {number})" for number in (15, 4))
        if self.bits == 8:
            return self._quads(group, ROWS * self.group)
        if self.group == GROUP:
            loaded = self._quads(group, group_bytes(4))
            low = [let(f"and {BYTES} {quad}, {mask}") for quad in loaded]
            return low + [let(f"lshr {BYTES} {quad}, {four}") for quad in loaded]
        # the low halves of the same bytes are the even group, the high halves are the odd one
        odd = let(f"trunc i64 {let(f'and i64 {group}, 1')} to i1")
        shift = let(f"select i1 {odd}, {BYTES} {four}, {BYTES} zeroinitializer")
        loaded = self._quads(let(f"lshr i64 {group}, 1"), group_bytes(4))
        return [let(f"and {BYTES} {let(f'lshr {BYTES} {quad}, {shift}')}, {mask}") for quad in loaded]

    def _quads(self, number: str, size: int) -> list[str]:
        """Load run ``number`` of ``size`` bytes of the matrix."""
        let = self.lines.let
        place = let(f"add i64 %packed_offset, {let(f'mul i64 {number}, {size}')}")
        loaded = []
        for quad in range(size // (ROWS * QUAD)):
            at = let(f"add i64 {place}, {quad * ROWS * QUAD}")
            address = let(f"getelementptr i8, ptr %b.packed, i64 {at}")
            loaded.append(let(f"load {BYTES}, ptr {address}, align 1"))
        return loaded

    def _dot(self, weights: list[str], place: str) -> str:
        """The integer dot products of a group with a row's activations, less the zero point's share."""
        let = self.lines.let
        start = let(f"add i64 %quants_offset, {let(f'mul i64 {place}, {self.group}')}")
        total = "zeroinitializer"
        if self.zero:
            negative = let(f"mul i32 {self._load('i32', 'sums', place)}, {-self.zero}")
            total = self._spread("i32", negative)
        for number, quad in enumerate(weights):
            at = let(f"add i64 {start}, {number * QUAD}")
            four = let(f"load i32, ptr {let(f'getelementptr i8, ptr %b.quants, i64 {at}')}, align 1")
            repeated = let(f"bitcast {INTS} {self._spread('i32', four)} to {BYTES}")
            total = let(f"call {INTS} @{DOT}({INTS} {total}, {BYTES} {quad}, {BYTES} {repeated})")
        return total

    def _load(self, kind: str, buffer: str, place: str) -> str:
        index = self.lines.let(f"add i64 %{buffer}_offset, {place}")
        address = self.lines.let(f"getelementptr {kind}, ptr %b.{buffer}, i64 {index}")
        return self.lines.let(f"load {kind}, ptr {address}, align 4")

    def _numbers(self, buffer: str, place: str) -> str:
        """A group's numbers of all rows, as float32."""
        let, kind = self.lines.let, self.scale_type
        index = let(f"add i64 %{buffer}_offset, {place}")
        whole = f"<{ROWS} x {kind}>"
        loaded = let(
            f"load {whole}, ptr {let(f'getelementptr {kind}, ptr %b.{buffer}, i64 {index}')}, align 2"
        )
        return loaded if kind == "float" else let(f"fpext {whole} {loaded} to {FLOATS}")

    def _spread(self, kind: str, value: str) -> str:
        whole = f"<{ROWS} x {kind}>"
        one = self.lines.let(f"insertelement {whole} poison, {kind} {value}, i64 0")
        return self.lines.let(f"shufflevector {whole} {one}, {whole} poison, {INTS} zeroinitializer")

    def _fma(self, a: str, b: str, c: str) -> str:
        return self.lines.let(f"call {FLOATS} @llvm.fma.v{ROWS}f32({FLOATS} {a}, {FLOATS} {b}, {FLOATS} {c})")

    def _store(self, block: str, row: str, total: str) -> None:
        """Store the block's results of a row; the last block may have fewer rows."""
        let = self.lines.let
        column = let(f"mul i64 {block}, {ROWS}")
        index = let(f"add i64 {let(f'add i64 %out_offset, {column}')}, {let(f'mul i64 {row}, %rows')}")
        address = let(f"getelementptr float, ptr %b.out, i64 {index}")
        left = let(f"trunc i64 {let(f'sub i64 %rows, {column}')} to i32")
        lanes = ", ".join(f"i32 {lane}" for lane in range(ROWS))
        mask = let(f"icmp slt {INTS} <{lanes}>, {self._spread('i32', left)}")
        self.lines.do(
            f"call void @llvm.masked.store.v{ROWS}f32.p0({FLOATS} {total}, ptr {address}, i32 4, <{ROWS} x i1> {mask})"
        )
