"""``conv2d`` and its two gradients on the ``cpu``: im2col in blocks, and a BLAS product for each block.

A block of columns (taps x output positions) is small enough to stay in a core's cache between the loop that unfolds it
and the product that reads it, or between the product that computes it and the loop that folds it back. A work item is a
job: a sequence of blocks with its own scratch array. The number of jobs depends on the sizes alone, so results do not
depend on the threads. Each job has a partial gradient of the weight; these have the shape (jobs, groups, taps,
O / groups), whose product is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weft import dtypes
from weft.codegen.llvm.memory import LANES
from weft.codegen.llvm.routine import GEMM, PLAIN, TRANSPOSED, Routine
from weft.codegen.templates import template
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr.llvm_text import suffix, vector_type
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

PARAMETERS = (
    "n c h w o kh kw oh ow stride_h stride_w pad_h pad_w dilation_h dilation_w groups x_offset w_offset y_offset "
    "rows channels images room jobs depth kd od stride_d pad_d dilation_d"
).split()
"""The parameters of every target, followed by:

- output rows, channels and images of a block, elements of a job's scratch, jobs;
- the sizes of a third dimension, which comes before the others: its slices count as images, its taps as channels.
"""

GRAIN = 1 << 18
"""The least number of multiplications for which another thread pays off."""

BUFFERS = {"forward": ("x", "w", "y"), "input": ("y", "w", "x"), "weight": ("y", "x", "w")}
"""The two inputs and the output of each kind; a scratch array follows them."""


@template("llvm", "conv2d")
def conv2d(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel.

    Options: ``kind``; ``step``, 1 where all strides are 1, 2 where the stride along rows is 2, else 0; ``plain``,
    whether windows are single elements and images as large as results; ``many``, whether blocks have several images.

    Raises:
        KernelError: For other types than float32 and float64, and on a target without a BLAS.
    """
    options = dict(library.options)
    kind, dtype = str(options["kind"]), library.dtypes[0]
    if dtype not in GEMM or any(other is not dtype for other in library.dtypes):
        given = ", ".join(kind.name for kind in library.dtypes)
        raise KernelError(f"conv2d: types ({given}) given, the cpu kernel takes all float32 or all float64")
    if "blas" not in profile.features:
        raise KernelError("conv2d: the cpu kernel needs a BLAS; run the derived form")
    first, second, written = BUFFERS[kind]
    forms = [str(options["step"]), *(word for word in ("plain", "many") if options.get(word))]
    name = "_".join(["conv2d", kind, *forms, dtype.name])
    return KernelSpec(
        name=name,
        language="llvm",
        parameters=tuple(Parameter(name, dtypes.int64) for name in PARAMETERS),
        inputs=(Binding(first, dtype), Binding(second, dtype)),
        outputs=(Binding(written, dtype, "read_write"), Binding("columns", dtype, "read_write")),
        workgroup_size=(GRAIN, 1, 1),
        workgroup_count=("jobs", "n * od * o * oh * ow * kd * kh * kw * ceil_div(c, groups)", "1"),
        source=_Writer(name, kind, dtype, int(options["step"]), forms).source(),
    )


@dataclass(frozen=True)
class _Tap:
    """A row of the column matrix: pointers to its channel of the image, and to its element for row ``r0``, column 0."""

    image: str
    column: str


class _Writer(Routine):
    """Writes the kernel of a kind."""

    def __init__(self, name: str, kind: str, dtype: DType, step: int, forms: Sequence[str]) -> None:
        super().__init__(name, dtype, (*BUFFERS[kind], "columns"), PARAMETERS)
        self.kind, self.step, self.unit = kind, step, step == 1
        self.plain, self.many = "plain" in forms, "many" in forms

    def source(self) -> str:
        """Return the kernel's IR."""
        self.names(
            own="idiv(c, groups)",
            cg="idiv(c, groups) * kd",
            og="idiv(o, groups)",
            area="kh * kw",
            places="oh * ow",
        )
        self.names(taps="cg * area", row_blocks="ceil_div(oh, rows)", channel_blocks="ceil_div(cg, channels)")
        self.names(units="ceil_div(n * od, images) * groups * row_blocks * channel_blocks")
        with self.loop("hi", "job", "lo"):
            self._job()
        return self.finished()

    # The steps of a job.

    def _job(self) -> None:
        self.columns = self.element("%b.columns", "job * room")
        if self.kind == "weight":
            self.names(result="w_offset + job * (o * taps)")
            self.clear(self.element("%b.w", "result"), "o * taps")
        with self.loop("idiv(units * (job + 1), jobs)", "unit", "idiv(units * job, jobs)"):
            self.names(outer="idiv(unit, row_blocks * channel_blocks)")
            self.names(block="unit - outer * (row_blocks * channel_blocks)", g="irem(outer, groups)")
            self.names(first="idiv(outer, groups) * images", rb="idiv(block, channel_blocks)")
            self.names(count="minimum(images, n * od - first)" if self.many else "1")
            self.names(cb="block - rb * channel_blocks", r0="rb * rows", r1="minimum(oh, r0 + rows)")
            self.names(c0="cb * channels", c1="minimum(cg, c0 + channels)", each="(r1 - r0) * ow")
            self.names(width="count * each", height="(c1 - c0) * area")
            self._image("first")
            self._block()

    def _image(self, number: str) -> None:
        """Name the values of an image by its number: the number of its sample and group, and its slice of the depth."""
        self.names(sample=f"idiv({number}, od)")
        self.names(slice=f"{number} - sample * od", image="sample * groups + g")

    def _block(self) -> None:
        """Write the product of a block; the results of several images are gathered in a matrix, too."""
        columns, lead = self.columns, "width"
        direct = self.plain and not self.many
        if direct:
            plane = "((image * own + c0) * depth + slice) * (h * w)"
            columns, lead = self.element("%b.x", f"x_offset + {plane} + r0 * ow"), "depth * h * w"
        if self.kind != "input" and not direct:
            self._windows(self._copy)
        place = "y_offset + (image * og * od + slice) * places + r0 * ow"
        results, apart = self.element("%b.y", place), "od * places"
        if self.many:
            results, apart = self.element(self.columns, "ceil_div(height * width, 16) * 16"), "width"
            if self.kind != "forward":
                self._results(results, inward=True)
        weight = self.element("%b.w", "w_offset + g * og * taps + c0 * area")
        if self.kind == "forward":
            self.product(
                "og",
                "width",
                "height",
                (weight, "taps", PLAIN),
                (columns, lead, PLAIN),
                0.0,
                (results, apart),
            )
            if self.many:
                self._results(results, inward=False)
        elif self.kind == "weight":
            part = self.element("%b.w", "result + g * og * taps")
            self.product(
                "height",
                "og",
                "width",
                (columns, lead, PLAIN),
                (results, apart, TRANSPOSED),
                1.0,
                (part, "og"),
            )
        else:
            self.product("height", "width", "og", (weight, "taps", TRANSPOSED), (results, apart, PLAIN), 0.0,
                          (columns, lead))  # fmt: skip
            if not direct:
                self._fold()

    def _fold(self) -> None:
        """Fold the columns back into the image (col2im)."""
        if self.unit:
            self._fold_unit_strides()
            return
        with self.loop("count", "im"):
            self._image("first + im")
            self.clear(self.element("%b.x", "x_offset + (image * cg + c0) * (h * w)"), "(c1 - c0) * (h * w)")
        self._windows(self._add)

    def _results(self, matrix: str, inward: bool) -> None:
        """Gather the results of several images in a matrix (O / groups, images and positions), or scatter them back."""
        with self.loop("og", "channel"), self.loop("count", "im"):
            self._image("first + im")
            place = "y_offset + ((image * og + channel) * od + slice) * places + r0 * ow"
            there = self.element("%b.y", place)
            here = self.element(matrix, "channel * width + im * each")
            source, target = (there, here) if inward else (here, there)
            with self.loop("each", "q", step=LANES):
                mask = self.lanes("q", "each")
                self._store(
                    self._load(self.element(source, "q"), mask, False), self.element(target, "q"), mask, False
                )

    def _windows(self, row: Callable[[_Tap, str, str], None]) -> None:
        """Call ``row`` for the rows of every tap of the block, ``LANES`` output columns at a time.

        Rows are the innermost loop, since the mask of the lanes inside the image is the same for all rows.
        """
        with self.loop("count", "im"), self.loop("c1", "channel", "c0"):
            self._image("first + im")
            self.names(level="slice * stride_d - pad_d + irem(channel, kd) * dilation_d")
            plane = "((image * own + idiv(channel, kd)) * depth + level) * (h * w)"
            image = self.element("%b.x", f"x_offset + {plane}")
            with self.loop("kw", "v"):
                # output column q reads input column q * stride_w - shift
                self.names(shift="pad_w - v * dilation_w")
                self.names(
                    left=self._first_output("shift", "w"),
                    right=f"minimum({self._first_output('shift + w', 'w')}, ow)",
                )
                with self.loop("ow", "q", step=LANES):
                    inside, real = self.lanes("q - left", "right - left"), self.lanes("q", "ow")
                    with self.loop("kh", "u"):
                        tap = "((channel - c0) * area + u * kw + v) * width + im * each + q"
                        row(_Tap(image, self.element(self.columns, tap)), inside, real)

    def _fold_unit_strides(self) -> None:
        """Fold the columns back into the image where all strides are 1: each element is the sum of its columns.

        The accumulator is a register: accumulating in memory would stall on the forwarding of masked stores.
        """
        vector = vector_type(self.number, LANES)
        total = self.lines.local(vector)
        with self.loop("count", "im"), self.loop("c1", "channel", "c0"):
            self._image("first + im")
            image = self.element("%b.x", "x_offset + (image * cg + channel) * (h * w)")
            with self.loop("w", "at", step=LANES):
                real = self.lanes("at", "w")
                with self.loop("h", "i"):
                    self.lines.do(f"store {vector} zeroinitializer, ptr {total}")
                    with self.loop("kh", "u"):
                        self.names(r="i + pad_h - u * dilation_h")
                        met = self.lines.let(f"icmp ult i64 {self.at('r')}, {self.at('oh')}")
                        with self.lines.when(met), self.emitter.scope(), self.loop("kw", "v"):
                            self.names(q="at + pad_w - v * dilation_w")
                            tap = "((channel - c0) * area + u * kw + v) * width + im * each + r * ow + q"
                            more = self._load(self.element(self.columns, tap), self.lanes("q", "ow"), False)
                            old = self.lines.let(f"load {vector}, ptr {total}")
                            self.lines.do(
                                f"store {vector} {self.lines.let(f'fadd {vector} {old}, {more}')}, ptr {total}"
                            )
                    value = self.lines.let(f"load {vector}, ptr {total}")
                    self._store(value, self.element(image, "i * w + at"), real, True)

    def _first_output(self, least: str, axis: str) -> str:
        """Return the first output index, at least 0, whose product with the stride is at least ``least``."""
        if self.unit:
            return f"maximum({least}, 0)"
        return f"idiv(maximum({least} + stride_{axis} - 1, 0), stride_{axis})"

    def _name_rows_inside(self) -> None:
        """Name the output rows of the block, ``top`` to ``bottom``, that read inside the image at tap row ``u``."""
        self.names(drop="pad_h - u * dilation_h")
        self.names(top=self._first_output("drop", "h"), bottom=self._first_output("drop + h", "h"))
        self.names(top="minimum(maximum(top, r0), r1)", bottom="minimum(maximum(bottom, r0), r1)")
        self.names(bottom="maximum(top, bottom)")
        there = "(level >= 0) & (level < depth)"  # a slice outside the depth is padding as a whole
        self.names(top=f"where({there}, top, r1)", bottom=f"where({there}, bottom, r1)")

    def _copy(self, tap: _Tap, inside: str, real: str) -> None:
        """Copy the image to columns, with zeros for the padding."""
        self._name_rows_inside()
        for start, stop in (("r0", "top"), ("bottom", "r1")):
            with self.loop(stop, "r", start):
                self._store("zeroinitializer", self.element(tap.column, "(r - r0) * ow"), real, False)
        with self.loop("bottom", "r", "top"):
            value = self._load(self._source(tap), inside, True)
            self._store(value, self.element(tap.column, "(r - r0) * ow"), real, False)

    def _add(self, tap: _Tap, inside: str, real: str) -> None:
        """Add columns to the elements of the image that they were read from."""
        self._name_rows_inside()
        vector = vector_type(self.number, LANES)
        with self.loop("bottom", "r", "top"):
            place = self._source(tap)
            more = self._load(self.element(tap.column, "(r - r0) * ow"), inside, False)
            old = self._load(place, inside, True)
            self._store(self.lines.let(f"fadd {vector} {old}, {more}"), place, inside, True)

    def _source(self, tap: _Tap) -> str:
        """Return the address that output row ``r``, column ``q`` reads, or without ``step`` those of all lanes."""
        first = self.element(tap.image, "(r * stride_h - drop) * w + q * stride_w - shift")
        if self.step:
            return first
        steps = ", ".join(f"i64 {lane}" for lane in range(LANES))
        columns = vector_type("i64", LANES)
        stride = self.emitter.splat(self.values["stride_w"], LANES).text
        apart = self.lines.let(f"mul {columns} {stride}, <{steps}>")
        return self.lines.let(f"getelementptr {self.number}, ptr {first}, {columns} {apart}")

    def _load(self, place: str, mask: str, image: bool) -> str:
        vector, name = vector_type(self.number, LANES), suffix(self.number, LANES)
        given = f"i32 {_size(self.number)}, {vector_type('i1', LANES)} {mask}, {vector} zeroinitializer"
        if image and self.step == 2:
            wide, masks = self._pairs()
            given = (
                f"i32 {_size(self.number)}, {masks} {self._interleaved_mask(mask)}, {wide} zeroinitializer"
            )
            run = self.lines.let(
                f"call {wide} @llvm.masked.load.{suffix(self.number, 2 * LANES)}.p0(ptr {place}, {given})"
            )
            even = ", ".join(f"i32 {2 * lane}" for lane in range(LANES))
            return self.lines.let(f"shufflevector {wide} {run}, {wide} poison, <{LANES} x i32> <{even}>")
        if image and not self.unit:
            pointers, gather = vector_type("ptr", LANES), f"@llvm.masked.gather.{name}.{suffix('ptr', LANES)}"
            return self.lines.let(f"call {vector} {gather}({pointers} {place}, {given})")
        return self.lines.let(f"call {vector} @llvm.masked.load.{name}.p0(ptr {place}, {given})")

    def _store(self, value: str, place: str, mask: str, image: bool) -> None:
        vector, name = vector_type(self.number, LANES), suffix(self.number, LANES)
        given = f"i32 {_size(self.number)}, {vector_type('i1', LANES)} {mask}"
        if image and self.step == 2:
            wide, masks = self._pairs()
            twice = ", ".join(f"i32 {lane // 2}" for lane in range(2 * LANES))
            run = self.lines.let(
                f"shufflevector {vector} {value}, {vector} poison, <{2 * LANES} x i32> <{twice}>"
            )
            given = f"i32 {_size(self.number)}, {masks} {self._interleaved_mask(mask)}"
            name = suffix(self.number, 2 * LANES)
            self.lines.do(f"call void @llvm.masked.store.{name}.p0({wide} {run}, ptr {place}, {given})")
            return
        if image and not self.unit:
            pointers, scatter = (
                vector_type("ptr", LANES),
                f"@llvm.masked.scatter.{name}.{suffix('ptr', LANES)}",
            )
            self.lines.do(f"call void {scatter}({vector} {value}, {pointers} {place}, {given})")
            return
        self.lines.do(f"call void @llvm.masked.store.{name}.p0({vector} {value}, ptr {place}, {given})")

    def _pairs(self) -> tuple[str, str]:
        """Return the types of a vector of twice as many lanes, and of its mask."""
        return vector_type(self.number, 2 * LANES), vector_type("i1", 2 * LANES)

    def _interleaved_mask(self, mask: str) -> str:
        """Return a mask of twice as many lanes: the mask's lanes at even positions, False at odd positions."""
        masks = vector_type("i1", LANES)
        lanes = ", ".join(f"i32 {LANES if lane % 2 else lane // 2}" for lane in range(2 * LANES))
        given = f"{masks} {mask}, {masks} zeroinitializer"
        return self.lines.let(f"shufflevector {given}, <{2 * LANES} x i32> <{lanes}>")


def _size(number: str) -> int:
    return 4 if number == "float" else 8
