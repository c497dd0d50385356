"""``winograd`` on the ``cpu``: the transforms of a 2-d Winograd convolution, around batches of BLAS products.

Vector lanes hold channels. Each stage is a kernel:

- ``tiles``: transforms tiles of an image (N, C, H, W) to (size * size, tiles, channels). Tiles of inputs (``matrix``
  inputs) overlap; tiles of a result's gradient (``matrix`` results) do not.
- ``results``: transforms the products, which have the layout of tiles, to the image of results.
- ``filters``: transforms filters (O, C, taps, taps) to (size * size, C, output channels); with ``turned`` filters that
  are rotated by 180 degrees, to (size * size, O, input channels). So no product has a transposed second operand, which
  would be slower.
- ``filter_gradient``: transforms products (size * size, O, input channels) to the gradient of filters.

Channels are padded to whole vectors, with arbitrary values.

With ``step`` 2 the convolution has stride 2 and filters of twice as many taps. It is computed as a convolution of
stride 1 over four channels for each channel, the phases (a, b): rows 2 i + a and columns 2 j + b of the image, with
padding ``pad_h`` and ``pad_w``, and taps 2 u + a and 2 v + b. ``c`` counts these channels.

With ``deep`` the convolution has a depth dimension before the others. An image is then one of the ``slices`` of a
sample's results, and a channel one of the ``kd`` taps of a channel of the sample, whose ``depth`` slices are padded by
``pad_d``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from weft import dtypes
from weft.codegen.llvm.lanewise import Lanewise
from weft.codegen.llvm.memory import LANES
from weft.codegen.llvm.routine import GEMM, Routine
from weft.codegen.templates import template
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr.llvm_text import suffix, vector_type
from weft.kernels.library.winograd import Filtering, transposed
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

_IMAGES = "c h w pad_h pad_w rows columns first images image_offset room apart depth kd slices pad_d".split()
_FILTERS = "o_all c filter_offset room apart more".split()
PARAMETERS = {"tiles": _IMAGES, "results": _IMAGES, "filters": _FILTERS, "filter_gradient": _FILTERS}
"""``rows`` and ``columns`` count tiles; ``first`` is the first of ``images``; ``room``: channels with their padding;
``apart``: elements between two products; ``more``: whether results are added to the present values.
"""

BUFFERS = {
    "tiles": ("image", "products"), "results": ("products", "image"),
    "filters": ("filter", "products"), "filter_gradient": ("products", "filter"),
}  # fmt: skip

GRAIN = 1 << 15
"""The least number of elements read and written for which another thread pays off."""

SEGMENT = 128
"""The columns of an image that are transposed together, so that intermediate values stay in the L1 cache."""


@template("llvm", "winograd")
def winograd(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel.

    Options: ``stage``, ``outputs`` and ``taps``; by stage ``matrix`` or ``turned``, ``step`` (2), ``deep``.
    """
    options = dict(library.options)
    stage, dtype = str(options["stage"]), library.dtypes[0]
    if dtype not in GEMM or any(other is not dtype for other in library.dtypes):
        given = ", ".join(kind.name for kind in library.dtypes)
        raise KernelError(f"winograd: types ({given}) given, the cpu kernel takes all float32 or all float64")
    filtering = Filtering(int(options["outputs"]), int(options["taps"]))
    form = str(options.get("matrix", "turned" if options.get("turned") else ""))
    order = "by2" if options.get("step") == 2 else "deep" if options.get("deep") else ""
    forms = [word for word in (form, order) if word]
    name = "_".join(["winograd", stage, *forms, f"{filtering.outputs}x{filtering.taps}", dtype.name])
    read, written = BUFFERS[stage]
    numbers = filtering.size**2
    work = {
        "tiles": ("images * rows", f"images * rows * columns * c * {numbers}"),
        "filters": ("o_all" if form == "turned" else f"ceil_div(o_all, {LANES})", f"o_all * c * {numbers}"),
    }
    work["results"], work["filter_gradient"] = work["tiles"], ("o_all", work["filters"][1])
    items, amount = work[stage]
    return KernelSpec(
        name=name,
        language="llvm",
        parameters=tuple(Parameter(parameter, dtypes.int64) for parameter in PARAMETERS[stage]),
        inputs=(Binding(read, dtype),),
        outputs=(Binding(written, dtype, "read_write"),),
        workgroup_size=(GRAIN, 1, 1),
        workgroup_count=(items, amount, "1"),
        source=_Writer(name, stage, dtype, filtering, form, order).source(),
    )


class _Writer(Routine):
    """Writes the kernel of a stage."""

    def __init__(
        self, name: str, stage: str, dtype: DType, filtering: Filtering, form: str, order: str
    ) -> None:
        super().__init__(name, dtype, BUFFERS[stage], PARAMETERS[stage])
        self.stage, self.filtering, self.form = stage, filtering, form
        self.by_two, self.deep = order == "by2", order == "deep"
        self.lanewise = Lanewise(self.lines, self.number)
        self.vector, self.suffix = vector_type(self.number, LANES), suffix(self.number, LANES)
        self.bytes = dtype.itemsize
        matrix = transposed(filtering.results) if form == "results" else filtering.inputs
        if stage == "results":
            matrix = filtering.results
        self.matrix = matrix
        # the extent of a tile of the image in each dimension; the next tile begins ``outputs`` elements further
        self.reach = len(matrix) if stage == "results" else len(matrix[0])
        self.wide = -(-(SEGMENT + self.reach) // LANES) * LANES

    def source(self) -> str:
        """Return the kernel's IR."""
        {
            "tiles": self._tiles, "results": self._results,
            "filters": self._filters if self.form == "turned" else self._filters_across,
            "filter_gradient": self._filter_gradient,
        }[self.stage]()  # fmt: skip
        return self.finished(multiplies=False)

    # Images.

    def _tiles(self) -> None:
        self.strip = self.lines.local(f"[{self.reach * self.wide} x {self.vector}]")
        with self.loop("hi", "item", "lo"):
            self.names(image="idiv(item, rows)")
            self.names(row="item - image * rows", tile="item * columns")
            pad_h, pad_w = ("0", "0") if self.by_two else ("pad_h", "pad_w")
            self.names(top=f"row * {self.filtering.outputs} - {pad_h}", plane="h * w")
            with self.loop("c", "c0", step=LANES), self._segments():
                self.names(left=f"t0 * {self.filtering.outputs} - {pad_w}")
                with self.loop(str(self.reach), "i"):
                    self._strip_row()
                with self.loop("t1", "t", "t0"):
                    square = [
                        [self._strip_element(i, j) for j in range(self.reach)] for i in range(self.reach)
                    ]
                    self._put_products(self.lanewise.both_ways(self.matrix, square), "(tile + t) * room + c0")

    def _strip_row(self) -> None:
        """Store row ``i`` of a strip of tiles as a vector of channels for each column, with zeros outside the image."""
        rows = self._phase_rows() if self.by_two else []
        channels = [] if rows else self._channel_rows("left")
        with self.loop(f"(t1 - t0 - 1) * {self.filtering.outputs} + {self.reach}", "q", step=LANES):
            if rows:
                values = self._phases(rows)
            else:
                mask = self.lanes("left + q", "w")
                values = [
                    self._load(self.element(row, "q"), self._where(there, mask)) for row, there in channels
                ]
            for lane, value in enumerate(self.lanewise.transposed(values)):
                self.lines.do(
                    f"store {self.vector} {value}, ptr {self._strip(f'i * {self.wide} + q + {lane}')}"
                )

    def _channel_rows(self, column: str) -> list[tuple[str, str]]:
        """Return for each channel of the lanes the address of a column of its row, and whether the row is inside."""
        self.names(y="top + i", number="first + image")
        inside = self.lines.let(f"icmp ult i64 {self.at('y')}, {self.at('h')}")
        place = f"y * w + {column}"
        if not self.deep:
            start = f"image_offset + (number * c + minimum(c0 + {{k}}, c - 1)) * plane + {place}"
            return [(self.element("%b.image", start.format(k=k)), inside) for k in range(LANES)]
        rows = []
        self.names(sample="idiv(number, slices)")
        for k in range(LANES):
            self.names(**{f"c{k}": f"minimum(c0 + {k}, c - 1)"})
            self.names(**{f"d{k}": f"number - sample * slices + irem(c{k}, kd) - pad_d"})
            met = self.lines.let(f"icmp ult i64 {self.at(f'd{k}')}, {self.at('depth')}")
            channel = f"(sample * idiv(c, kd) + idiv(c{k}, kd)) * depth + d{k}"
            start = self.element("%b.image", f"image_offset + ({channel}) * plane + {place}")
            rows.append((start, self.lines.let(f"and i1 {inside}, {met}")))
        return rows

    def _phase_rows(self) -> list[tuple[str, str]]:
        """Return for each pair of phases (a, 0), (a, 1) of the lanes its row's address, and whether it is inside."""
        rows = []
        for pair in range(LANES // 2):
            self.names(**{f"y{pair}": f"2 * (top + i) + {pair % 2} - pad_h"})
            inside = self.lines.let(f"icmp ult i64 {self.at(f'y{pair}')}, {self.at('h')}")
            real = self.lines.let(f"icmp slt i64 {self.at(f'c0 + {2 * pair}')}, {self.at('c')}")
            channel = f"minimum(idiv(c0, 4) + {pair // 2}, idiv(c, 4) - 1)"
            start = f"image_offset + ((first + image) * idiv(c, 4) + {channel}) * plane + y{pair} * w"
            both = self.lines.let(f"and i1 {inside}, {real}")
            rows.append((self.element("%b.image", start), both))
        return rows

    def _phases(self, rows: list[tuple[str, str]]) -> list[str]:
        """Return the columns from ``q`` on of every phase: the even columns of the image, and the odd columns."""
        self.names(x="2 * (left + q) - pad_w")
        masks = [self.lanes(f"x + {half * LANES}", "w") for half in range(2)]
        found = []
        for row, there in rows:
            run = [
                self._load(self.element(row, f"x + {half * LANES}"), self._where(there, mask))
                for half, mask in enumerate(masks)
            ]
            found += [self.lanewise.taken(run, range(odd, 2 * LANES, 2)) for odd in range(2)]
        return found

    def _results(self) -> None:
        self.strip = self.lines.local(f"[{self.reach * self.wide} x {self.vector}]")
        outputs = self.filtering.outputs
        with self.loop("hi", "item", "lo"):
            self.names(image="idiv(item, rows)")
            self.names(row="item - image * rows", tile="item * columns")
            self.names(top=f"row * {outputs}", plane="h * w")
            with self.loop("c", "c0", step=LANES), self._segments():
                self.names(left=f"t0 * {outputs}")
                with self.loop("t1", "t", "t0"):
                    made = self.lanewise.both_ways(self.matrix, self._products("(tile + t) * room + c0"))
                    for i, values in enumerate(made):
                        for j, value in enumerate(values):
                            place = self._strip(f"{i * self.wide + j} + (t - t0) * {outputs}")
                            self.lines.do(f"store {self.vector} {value}, ptr {place}")
                with self.loop(f"minimum({outputs}, {self._length('h')} - top)", "i"):
                    self._image_row()

    def _length(self, axis: str) -> str:
        """Return the rows or columns of results: those of the image, or of its phases."""
        return f"idiv({axis} + pad_{axis} + 1, 2)" if self.by_two else axis

    def _image_row(self) -> None:
        """Store row ``i`` of a strip as rows of the image's channels."""
        if self.by_two:
            self._phase_columns(self._phase_rows())
            return
        channels = [row for row, _ in self._channel_rows("left")]
        with self.loop(f"minimum((t1 - t0) * {self.filtering.outputs}, w - left)", "q", step=LANES):
            mask = self.lanes("q", f"minimum((t1 - t0) * {self.filtering.outputs}, w - left)")
            values = [self._load(self._strip(f"i * {self.wide} + q + {lane}")) for lane in range(LANES)]
            for k, value in enumerate(self.lanewise.transposed(values)):
                there = self.lines.let(f"icmp slt i64 {self.at(f'c0 + {k}')}, {self.at('c')}")
                self._store(value, self.element(channels[k], "q"), self._where(there, mask))

    def _phase_columns(self, rows: list[tuple[str, str]]) -> None:
        """Store row ``i`` of a strip of phases, with the columns of each pair interleaved."""
        self.names(count=f"minimum((t1 - t0) * {self.filtering.outputs}, {self._length('w')} - left)")
        with self.loop("count", "q", step=LANES):
            self.names(x="2 * (left + q) - pad_w")
            values = [self._load(self._strip(f"i * {self.wide} + q + {lane}")) for lane in range(LANES)]
            values = self.lanewise.transposed(values)
            for half in range(2):
                kept = self.lanes(str(half * LANES), "2 * (count - q)")
                mask = self.lanes(f"x + {half * LANES}", "w")
                mask = self.lines.let(f"and {vector_type('i1', LANES)} {kept}, {mask}")
                places = [half * LANES // 2 + lane // 2 + lane % 2 * LANES for lane in range(LANES)]
                for pair, (row, there) in enumerate(rows):
                    value = self.lanewise.taken(values[2 * pair : 2 * pair + 2], places)
                    target = self.element(row, f"x + {half * LANES}")
                    self._store(value, target, self._where(there, mask))

    @contextmanager
    def _segments(self) -> Iterator[None]:
        """Loop over segments of the columns of tiles, ``t0`` to ``t1``, whose part of the image fits in the strip."""
        most = SEGMENT // self.filtering.outputs
        with self.loop("columns", "t0", step=most):
            self.names(t1=f"minimum(columns, t0 + {most})")
            yield

    def _strip_element(self, i: int, j: int) -> str:
        """Return element (i, j) of tile ``t``."""
        return self._load(self._strip(f"{i * self.wide + j} + (t - t0) * {self.filtering.outputs}"))

    def _strip(self, index: str) -> str:
        return self.lines.let(f"getelementptr {self.vector}, ptr {self.strip}, i64 {self.at(index)}")

    # Filters.

    def _filters_across(self) -> None:
        """Transform filters to (size * size, C, output channels), 16 at a time, transposed tap by tap."""
        area, kept = (
            self.filtering.taps**2,
            self.lines.local(f"[{self.filtering.taps**2 * LANES} x {self.vector}]"),
        )

        def place(tap: str, line: str) -> str:
            index = self.at(f"({tap}) * {LANES} + {line}")
            return self.lines.let(f"getelementptr {self.vector}, ptr {kept}, i64 {index}")

        with self.loop("hi", "block", "lo"), self.loop("c", "c0", step=LANES):
            with self.loop(str(LANES), "line"):
                self.names(o=f"minimum(block * {LANES} + line, o_all - 1)")
                for tap, value in enumerate(self._taps()):
                    self.lines.do(f"store {self.vector} {value}, ptr {place(str(tap), 'line')}")
            with self.loop(str(area), "tap"):
                values = [self._load(place("tap", str(line))) for line in range(LANES)]
                for line, value in enumerate(self.lanewise.transposed(values)):
                    self.lines.do(f"store {self.vector} {value}, ptr {place('tap', str(line))}")
            with self.loop(f"minimum({LANES}, c - c0)", "line"):
                self._put_filter(
                    [self._load(place(str(tap), "line")) for tap in range(area)],
                    f"(c0 + line) * room + block * {LANES}",
                )

    def _filters(self) -> None:
        """Transform rotated filters to (size * size, O, input channels)."""
        with self.loop("hi", "o", "lo"), self.loop("c", "c0", step=LANES):
            self._put_filter(self._taps()[::-1], "o * room + c0")

    def _taps(self) -> list[str]:
        """Return each tap of filter ``o`` for the channels from ``c0`` on."""
        run, area = [self._load(*place) for place in self._tap_vectors()], self.filtering.taps**2
        return [
            self.lanewise.taken(run, [self._place(lane, tap) for lane in range(LANES)]) for tap in range(area)
        ]

    def _place(self, channel: int, tap: int) -> int:
        """Return the position of a tap of a channel among the taps of a vector of channels."""
        taps = self.filtering.taps
        if not self.by_two:
            return channel * taps**2 + tap
        row, column = 2 * (tap // taps) + channel // 2 % 2, 2 * (tap % taps) + channel % 2
        return (channel // 4) * (2 * taps) ** 2 + row * 2 * taps + column

    def _put_filter(self, values: list[str], place: str) -> None:
        taps = self.filtering.taps
        square = [values[row * taps : (row + 1) * taps] for row in range(taps)]
        self._put_products(self.lanewise.both_ways(self.filtering.filters, square), place)

    def _filter_gradient(self) -> None:
        taps = self.filtering.taps
        with self.loop("hi", "o", "lo"), self.loop("c", "c0", step=LANES):
            square = self.lanewise.both_ways(
                transposed(self.filtering.filters), self._products("o * room + c0")
            )
            values = [value for row in square for value in row]
            again = self.lines.let(f"icmp ne i64 {self.at('more')}, 0")
            sources = {
                self._place(lane, tap): tap * LANES + lane for lane in range(LANES) for tap in range(taps**2)
            }
            for number, (place, mask) in enumerate(self._tap_vectors()):
                places = [sources[element] for element in range(number * LANES, (number + 1) * LANES)]
                old = self._load(place, self._where(again, mask))
                value = self.lanewise.taken(values, places)
                self._store(self.lines.let(f"fadd {self.vector} {old}, {value}"), place, mask)

    def _tap_vectors(self) -> list[tuple[str, str]]:
        """Return addresses and masks of the vectors that hold the taps of ``LANES`` channels from ``c0`` on."""
        area = self.filtering.taps**2
        start = self.element("%b.filter", f"filter_offset + (o * c + c0) * {area}")
        return [
            (self.element(start, str(number * LANES)), self.lanes(str(number * LANES), f"(c - c0) * {area}"))
            for number in range(area)
        ]

    # Memory.

    def _products(self, place: str) -> list[list[str]]:
        """Return the square of products of a tile."""
        size = self.filtering.size
        return [[self._load(self._product(i * size + j, place)) for j in range(size)] for i in range(size)]

    def _put_products(self, square: list[list[str]], place: str) -> None:
        for number, value in enumerate(value for row in square for value in row):
            self.lines.do(
                f"store {self.vector} {value}, ptr {self._product(number, place)}, align {self.bytes}"
            )

    def _product(self, number: int, place: str) -> str:
        return self.element("%b.products", f"{number} * apart + {place}")

    def _where(self, condition: str, mask: str) -> str:
        masks = vector_type("i1", LANES)
        return self.lines.let(f"select i1 {condition}, {masks} {mask}, {masks} zeroinitializer")

    def _load(self, place: str, mask: str = "") -> str:
        if not mask:
            return self.lines.let(f"load {self.vector}, ptr {place}, align {self.bytes}")
        masks = vector_type("i1", LANES)
        name = f"@llvm.masked.load.{self.suffix}.p0"
        self.lines.declarations.add(f"declare {self.vector} {name}(ptr, i32, {masks}, {self.vector})")
        given = f"ptr {place}, i32 {self.bytes}, {masks} {mask}, {self.vector} zeroinitializer"
        return self.lines.let(f"call {self.vector} {name}({given})")

    def _store(self, value: str, place: str, mask: str) -> None:
        masks = vector_type("i1", LANES)
        name = f"@llvm.masked.store.{self.suffix}.p0"
        self.lines.declarations.add(f"declare void {name}({self.vector}, ptr, i32, {masks})")
        self.lines.do(
            f"call void {name}({self.vector} {value}, ptr {place}, i32 {self.bytes}, {masks} {mask})"
        )
