"""``attention`` on the ``cpu``: FlashAttention-2 (Dao 2023), with BLAS products over tiles of queries by keys.

A tile of scores stays in a core's cache between the product that computes it and the product that reads it. A work item
is a job: a sequence of tiles with its own scratch memory. ``forward`` distributes rows of queries over jobs;
``backward`` distributes heads of keys, or ``pieces`` of their queries, each of which accumulates its own partial
gradients of keys and values.
"""

from __future__ import annotations

import math

from weft import dtypes
from weft.codegen.llvm.memory import LANES
from weft.codegen.llvm.routine import GEMM, PLAIN, TRANSPOSED, Routine
from weft.codegen.templates import template
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr.llvm_text import IRValue, literal
from weft.kernels.library import attentions
from weft.kernels.library.attentions import CPU_KEYS, CPU_ROWS
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

MORE = ("size", "value_size", "jobs", "room", "pieces")
"""Parameters after those of ``attentions``: sizes of heads, jobs, elements of a job's scratch, pieces."""
GRAIN = 1 << 17
"""The least number of multiplications for which another thread pays off."""


@template("llvm", "attention")
def attention(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel. Options: ``form``, ``causal``, ``mask``, and ``unit``: the mask has unit stride along keys."""
    options = dict(library.options)
    form, masked = str(options["form"]), bool(options["mask"])
    buffers, dtype = attentions.FORMS[form], library.dtypes[0]
    names = (*buffers.reads(masked), *buffers.outputs, "tiles")
    kinds = dict(zip(names, library.dtypes, strict=True))
    wrong = [
        name
        for name, kind in kinds.items()
        if kind is not dtype and not (name == "mask" and kind.kind == "bool")
    ]
    if dtype not in GEMM or wrong:
        given = ", ".join(kind.name for kind in library.dtypes)
        raise KernelError(
            f"attention: types ({given}) given, the cpu kernel takes all float32 or all float64"
        )
    parameters = (*attentions.parameters(form, masked), *MORE)
    flags = ("causal", "unit")
    title = "_".join(
        ["attention", form, dtype.name, str(options["mask"]), *(flag for flag in flags if options[flag])]
    )
    writer = _Writer(title, dtype, names, parameters, options)
    return KernelSpec(
        name=title,
        language="llvm",
        parameters=tuple(
            Parameter(name, dtypes.float64 if name == "scale" else dtypes.int64) for name in parameters
        ),
        inputs=tuple(Binding(name, kinds[name]) for name in buffers.reads(masked)),
        outputs=tuple(Binding(name, kinds[name], "read_write") for name in (*buffers.outputs, "tiles")),
        workgroup_size=(GRAIN, 1, 1),
        workgroup_count=("jobs", "batch * heads * l * s * (size + value_size)", "1"),
        source=writer.source("blas" in profile.features),
    )


class _Writer(Routine):
    """Writes the kernel of a form."""

    def __init__(
        self, title: str, dtype: DType, buffers: tuple[str, ...], parameters: tuple[str, ...],
        options: dict[str, int | str | bool],
    ) -> None:  # fmt: skip
        super().__init__(title, dtype, buffers, parameters)
        self.form, self.mask, self.causal = (
            str(options["form"]),
            str(options["mask"]),
            bool(options["causal"]),
        )
        self.unit = bool(options["unit"])
        scale = self.lines.let(f"bitcast i64 {self.values.pop('scale').text} to double")
        if dtype is dtypes.float32:
            scale = self.lines.let(f"fptrunc double {scale} to float")
        self.scale = scale
        self.largest, self.total = (self.lines.local(f"[{CPU_ROWS} x {self.number}]") for _ in range(2))
        self.running = self.lines.local(f"<{LANES} x {self.number}>")

    def source(self, blas: bool) -> str:
        """Return the kernel's IR."""
        self.names(together="idiv(heads, shared)", blocks=f"ceil_div(l, {CPU_ROWS})")
        self.names(units="batch * heads * blocks" if self.form == "forward" else "batch * shared * pieces")
        with self.loop("hi", "job", "lo"):
            self.tile = self.element("%b.tiles", "job * room")
            with self.loop("idiv(units * (job + 1), jobs)", "unit", "idiv(units * job, jobs)"):
                if self.form == "forward":
                    self.names(row="idiv(unit, blocks)")
                    self.names(block="unit - row * blocks", b="idiv(row, heads)", head="irem(row, heads)")
                    self.names(shared_head="idiv(head, together)")
                    self._forward()
                else:
                    self.names(row="idiv(unit, pieces)")
                    self.names(
                        piece="unit - row * pieces", b="idiv(row, shared)", shared_head="irem(row, shared)"
                    )
                    self._backward()
        return self.finished(blas)

    # Addresses and values.

    def _rows(self, name: str, row: str) -> tuple[str, str, int]:
        """Return a head's rows from ``row`` on, as a matrix: address, leading dimension, form."""
        head = "shared_head" if name in ("k", "v", "dk", "dv") else "head"
        size = "value_size" if name in ("v", "dv", "out", "grad") else "size"
        start = f"{name}_offset + b * {name}_b + {head} * {name}_h + ({row}) * {name}_l"
        return self.element(f"%b.{name}", start), f"maximum({name}_l, {size})", PLAIN

    def _transposed(self, matrix: tuple[str, str, int]) -> tuple[str, str, int]:
        return matrix[0], matrix[1], TRANSPOSED

    def _vector(self, text: str) -> IRValue:
        return IRValue(text, self.dtype, LANES)

    def _scalar(self, text: str) -> IRValue:
        return IRValue(text, self.dtype)

    def _load(self, place: str, lanes: int = LANES) -> IRValue:
        kind = IRValue("", self.dtype, lanes).type
        align = 4 if self.dtype is dtypes.float32 else 8
        return IRValue(self.lines.let(f"load {kind}, ptr {place}, align {align}"), self.dtype, lanes)

    def _store(self, value: IRValue, place: str) -> None:
        align = 4 if self.dtype is dtypes.float32 else 8
        self.lines.do(f"store {value.type} {value.text}, ptr {place}, align {align}")

    def _number(self, value: float, lanes: int = 1) -> IRValue:
        return self.emitter.splat(self._scalar(literal(value, self.dtype)), lanes)

    def _apply(self, source: str, **values: IRValue) -> IRValue:
        return self.emitter.apply(source, values)

    def _where(self, mask: str, value: IRValue, other: IRValue) -> IRValue:
        kind = value.type
        text = f"select <{LANES} x i1> {mask}, {kind} {value.text}, {kind} {other.text}"
        return self._vector(self.lines.let(text))

    # Parts of all forms.

    def _block(self) -> None:
        """Name the values of a block of queries: its first row, its number of rows, and the end of its keys."""
        self.names(r0=f"block * {CPU_ROWS}")
        self.names(n=f"minimum({CPU_ROWS}, l - r0)")
        self.names(stop="minimum(s, r0 + n)" if self.causal else "s")

    def _scores(self) -> None:
        """Name the values of the tile of scores at key ``c0``, and compute the scores."""
        self.names(width=f"minimum({CPU_KEYS}, stop - c0)")
        self.names(pitch=f"ceil_div(width, {LANES}) * {LANES}")
        self.product("n", "width", "size", self._rows("q", "r0"), self._transposed(self._rows("k", "c0")), 0.0,
                     (self.tile, "pitch"), self.scale)  # fmt: skip

    def _apply_mask(self) -> None:
        """Name the number of the tile's keys that the query in row ``r`` attends to, and apply the mask to them."""
        self.names(seen="minimum(maximum(r0 + r + 1 - c0, 0), width)" if self.causal else "width")
        if not self.mask:
            return
        start = "mask_offset + b * mask_b + head * mask_h + (r0 + r) * mask_l + c0 * mask_s"
        self.names(mask_start=start)
        kind = "i8" if self.mask == "bool" else self.number
        with self.loop("seen", "c"):
            place = self.element(self.tile, "r * pitch + c")
            step = "c" if self.unit else "c * mask_s"
            address = self.lines.let(
                f"getelementptr {kind}, ptr %b.mask, i64 {self.at(f'mask_start + {step}')}"
            )
            score = self._load(place, 1)
            if self.mask == "bool":
                byte = self.lines.let(f"load i8, ptr {address}, align 1")
                flag = self.lines.let(f"icmp ne i8 {byte}, 0")
                hidden = self._number(-math.inf)
                text = f"select i1 {flag}, {self.number} {score.text}, {self.number} {hidden.text}"
                self._store(self._scalar(self.lines.let(text)), place)
            else:
                self._store(self._apply("x + y", x=score, y=self._load(address, 1)), place)

    def _score(self, place: str) -> IRValue:
        """Return the scores from key ``c`` on, -inf for keys that are not attended to."""
        return self._where(self.lanes("c", "seen"), self._load(place), self._number(-math.inf, LANES))

    # Forward.

    def _forward(self) -> None:
        self._block()
        with self.loop("n", "r"):
            self._store(self._number(-math.inf), self.element(self.largest, "r"))
            self._store(self._number(0.0), self.element(self.total, "r"))
        with self.loop("stop", "c0", step=CPU_KEYS):
            self._scores()
            with self.loop("n", "r"):
                self._apply_mask()
                self._softmax_row()
            later = self.lines.let(f"icmp ne i64 {self.at('c0')}, 0")
            beta = self._either(later, self._number(1.0), self._number(0.0)).text
            out = self._rows("out", "r0")
            self.product(
                "n", "value_size", "width", (self.tile, "pitch", PLAIN), self._rows("v", "c0"), beta, out[:2]
            )
        with self.loop("n", "r", step=LANES):
            total, largest = (self._load(self.element(row, "r")) for row in (self.total, self.largest))
            empty = self.lines.let(f"fcmp oeq {total.type} {total.text}, {self._number(0.0, LANES).text}")
            self._store(
                self._where(empty, self._number(0.0, LANES), largest), self.element(self.largest, "r")
            )
            inverse = self._apply("1 / y", y=total)
            self._store(self._where(empty, self._number(0.0, LANES), inverse), self.element(self.total, "r"))
        with self.loop("n", "r"):
            inverse = self._load(self.element(self.total, "r"), 1)
            self.names(at_sums="sums_offset + (row * l + r0 + r) * 2")
            self._store(self._load(self.element(self.largest, "r"), 1), self.element("%b.sums", "at_sums"))
            self._store(inverse, self.element("%b.sums", "at_sums + 1"))
            self._scale_row(inverse)

    def _either(self, flag: str, value: IRValue, other: IRValue) -> IRValue:
        text = f"select i1 {flag}, {self.number} {value.text}, {self.number} {other.text}"
        return self._scalar(self.lines.let(text))

    def _scale_row(self, factor: IRValue) -> None:
        """Multiply row ``r`` of the output by a factor."""
        row = self._rows("out", "r0 + r")[0]
        with self.loop("value_size", "e"):
            place = self.element(row, "e")
            self._store(self._apply("x * y", x=self._load(place, 1), y=factor), place)

    def _softmax_row(self) -> None:
        """Turn a row of scores into weights, and update the row's running maximum and sum (online softmax)."""
        row = self.element(self.tile, "r * pitch")
        most, sum_ = self.element(self.largest, "r"), self.element(self.total, "r")
        self._store(self._number(-math.inf, LANES), self.running)
        with self.loop("seen", "c", step=LANES):
            score = self._score(self.element(row, "c"))
            self._store(self._apply("larger(x, y)", x=self._load(self.running), y=score), self.running)
        before = self._load(most, 1)
        largest = self._apply(
            "larger(x, y)", x=before, y=self.reduce_lanes(self._load(self.running), "larger(x, y)")
        )
        hidden = self.lines.let(f"fcmp oeq {self.number} {largest.text}, {self._number(-math.inf).text}")
        less = self._either(hidden, self._number(0.0), largest)
        wide = self.emitter.splat(less, LANES)
        self._store(self._number(0.0, LANES), self.running)
        with self.loop("seen", "c", step=LANES):
            place = self.element(row, "c")
            power = self._apply("exp(x - y)", x=self._score(place), y=wide)
            self._store(power, place)
            self._store(self._apply("x + y", x=self._load(self.running), y=power), self.running)
        with self.loop("width", "c", f"ceil_div(seen, {LANES}) * {LANES}", LANES):
            self._store(self._number(0.0, LANES), self.element(row, "c"))
        self._store(largest, most)
        total, earlier = self.reduce_lanes(self._load(self.running), "x + y"), self._load(sum_, 1)
        self._store(total, sum_)
        later = self.lines.let(f"icmp ne i64 {self.at('c0')}, 0")
        with self.lines.when(later), self.emitter.scope():
            fade = self._apply("exp(x - y)", x=before, y=less)
            self._store(self._apply("x * y + z", x=earlier, y=fade, z=total), sum_)
            self._scale_row(fade)

    # Backward.

    def _backward(self) -> None:
        self.names(
            part_k="piece * (batch * s * shared * size)", part_v="piece * (batch * s * shared * value_size)"
        )
        for name, size in (("dk", "size"), ("dv", "value_size")):
            with self.loop("s", "c"):
                self.clear(self._part(name, "c")[0], size)
        with self.loop("together", "member"):
            self.names(head="shared_head * together + member")
            with self.loop("idiv(blocks * (piece + 1), pieces)", "block", "idiv(blocks * piece, pieces)"):
                self._block()
                with self.loop("stop", "c0", step=CPU_KEYS):
                    self._scores()
                    self._gradients()

    def _part(self, name: str, row: str) -> tuple[str, str]:
        """Return the piece's rows of a partial gradient of keys or values."""
        address, pitch, _ = self._rows(name, row)
        return self.element(address, f"part_{name[1]}"), pitch

    def _gradients(self) -> None:
        other = self.element(self.tile, "idiv(room, 2)")
        grad, values = self._rows("grad", "r0"), self._rows("v", "c0")
        self.product("n", "width", "value_size", grad, self._transposed(values), 0.0, (other, "pitch"))
        with self.loop("n", "r"):
            self._apply_mask()
            self.names(at_row="stats_offset + ((b * heads + head) * l + r0 + r) * 3")
            peak, share, rest = (
                self.emitter.splat(self._load(self.element("%b.stats", place), 1), LANES)
                for place in ("at_row", "at_row + 1", "at_row + 2")
            )
            with self.loop("width", "c", step=LANES):
                place, beside = self.element(self.tile, "r * pitch + c"), self.element(other, "r * pitch + c")
                power = self._apply("exp(x - y) * z", x=self._score(place), y=peak, z=share)
                self._store(power, place)
                # lanes beyond the tile's keys hold arbitrary values, which no product reads
                self._store(self._apply("x * (y - z)", x=power, y=self._load(beside), z=rest), beside)
        weights, by_scores = (self.tile, "pitch", PLAIN), (other, "pitch", PLAIN)
        self.product("width", "value_size", "n", self._transposed(weights), grad, 1.0, self._part("dv", "c0"))
        self.product("width", "size", "n", self._transposed(by_scores), self._rows("q", "r0"), 1.0,
                     self._part("dk", "c0"), self.scale)  # fmt: skip
        later = self.lines.let(f"icmp ne i64 {self.at('c0')}, 0")
        beta = self._either(later, self._number(1.0), self._number(0.0)).text
        self.product(
            "n",
            "size",
            "width",
            by_scores,
            self._rows("k", "c0"),
            beta,
            self._rows("dq", "r0")[:2],
            self.scale,
        )
