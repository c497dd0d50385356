"""The LLVM emitter: writes an expression DAG as lines of IR, each common subexpression once.

Values are scalars or vectors of ``lanes`` elements; a scalar operand of a vector operation is splatted. The generator
in ``codegen.llvm`` owns the control flow around the lines, and writes loads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from weft import dtypes
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr.define import definition
from weft.expr.functions import FUNCTIONS
from weft.expr.llvm_narrow import narrowed, widened
from weft.expr.llvm_text import SCALAR_BITS, SCALARS, IRValue, Lines, literal, suffix, vector_type
from weft.expr.node import Expr, variable
from weft.expr.parse import parse
from weft.expr.rewrite import substitute

_CAST_INTEGER: Final = {"bool": "zext", "uint": "zext", "int": "sext"}

PROVIDED: Final = "weft.provided."
"""The prefix of provided functions, which the device's compiler defines according to the processor's features."""

LoadWriter = Callable[["Emitter", Expr], IRValue]


class Emitter:
    """Writes expressions into ``lines``. ``bind`` gives variables values; ``scope`` limits the reuse of values."""

    def __init__(self, lines: Lines, load: LoadWriter) -> None:
        self.lines = lines
        self._load = load
        self._known: list[dict[Expr, IRValue]] = [{}]

    def bind(self, name: Expr, value: IRValue) -> None:
        """Set the value of a variable until the scope ends."""
        self._known[-1][name] = value

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Open a block whose values are not visible after it: a loop body."""
        self._known.append({})
        yield
        self._known.pop()

    def value(self, root: Expr) -> IRValue:
        """Write the instructions of ``root`` and return its value; raises ``KernelError`` for unsupported functions."""
        pending: list[tuple[Expr, bool]] = [(root, False)]
        while pending:
            node, ready = pending.pop()
            if self._find(node) is not None:
                continue
            if ready or not node.args or node.function == "load":
                self._known[-1][node] = self._write(node)
            else:
                pending.append((node, True))
                pending.extend((arg, False) for arg in reversed(node.args))
        found = self._find(root)
        assert found is not None
        return found

    def _find(self, node: Expr) -> IRValue | None:
        for known in reversed(self._known):
            if node in known:
                return known[node]
        return None

    def _write(self, node: Expr) -> IRValue:
        if node.dtype not in SCALARS and node.function not in ("cast", "const"):
            raise KernelError(
                f"llvm: {node!r} has type {node.dtype.name}, expected a type of arithmetic "
                f"({', '.join(dtype.name for dtype in SCALARS)}); cast to {node.dtype.compute.name}"
            )
        if node.function == "const":
            value = IRValue(literal(node.data, node.dtype.compute), node.dtype.compute)
            return self.rounded(value, node.dtype)
        if node.function == "variable":
            raise KernelError(f"llvm: variable {node!r} is not an axis, a parameter or an earlier result")
        if node.function == "load":
            return self._load(self, node)
        args = [self.value(arg) for arg in node.args]
        if node.function == "cast":
            return self.rounded(self.convert(args[0], node.dtype.compute), node.dtype)
        lanes = max(arg.lanes for arg in args)
        return self._call(node, [self.splat(arg, lanes) for arg in args], lanes)

    def splat(self, value: IRValue, lanes: int) -> IRValue:
        """Return a vector with ``value`` in all of ``lanes`` lanes."""
        if value.lanes == lanes:
            return value
        assert value.lanes == 1, "an operation takes vectors of the same number of lanes"
        kind = SCALARS[value.dtype]
        if not value.text.startswith("%"):
            return IRValue(f"splat ({kind} {value.text})", value.dtype, lanes)
        whole = vector_type(kind, lanes)
        first = self.lines.let(f"insertelement {whole} poison, {kind} {value.text}, i64 0")
        mask = f"<{lanes} x i32> zeroinitializer"
        return IRValue(
            self.lines.let(f"shufflevector {whole} {first}, {whole} poison, {mask}"), value.dtype, lanes
        )

    def rounded(self, value: IRValue, dtype: DType) -> IRValue:
        """Return a value rounded or wrapped to a narrow type, in its compute type; other types keep the value."""
        if value.dtype is dtype:
            return value
        return widened(self.lines, narrowed(self.lines, value, dtype), dtype, value.lanes)

    def convert(self, value: IRValue, dtype: DType) -> IRValue:
        """C's conversion, but anything nonzero is True and floats saturate to integers (NaN to 0)."""
        instruction = _conversion(value, dtype)
        if instruction is None:
            return IRValue(value.text, dtype, value.lanes)
        return IRValue(self.lines.let(instruction), dtype, value.lanes)

    def _call(self, node: Expr, args: list[IRValue], lanes: int) -> IRValue:
        function = FUNCTIONS[node.function]
        kind = args[-1]  # templates are chosen by the type of the values, not of a condition
        if kind.dtype is dtypes.float64 and function.double is not None:
            return self._call_c(function.double, node.dtype, args, lanes)
        template = (function.llvm or {}).get(kind.dtype.kind[0])
        if template is not None:
            return self._instruction(function.name, template, node.dtype, args, lanes)
        if function.provided and kind.dtype is dtypes.float32:
            return self._call_provided(function.name, node.dtype, args, lanes)
        body = definition(function.name, tuple(arg.dtype for arg in args), wide=True)
        if body is None:
            raise KernelError(f"llvm: {node.function} has no form for {kind.dtype.name}")
        return self.inline(body, dict(zip(function.parameters, args, strict=True)))

    def apply(self, source: str, values: Mapping[str, IRValue]) -> IRValue:
        """Write an expression that is given as text, with values for its variables."""
        return self.inline(parse(source, {name: value.dtype for name, value in values.items()}), values)

    def inline(self, body: Expr, values: Mapping[str, IRValue]) -> IRValue:
        """Write an expression, with values for its variables."""
        # Placeholders are named by their values: no kernel has such names, and equal calls become the same node.
        placeholders = {variable(name, value.dtype): variable(f"{value.text}:{value.lanes}", value.dtype)
                        for name, value in values.items()}  # fmt: skip
        for placeholder, value in zip(placeholders.values(), values.values(), strict=True):
            self.bind(placeholder, value)
        return self.value(substitute(body, placeholders))

    def _instruction(
        self, name: str, template: str, dtype: DType, args: list[IRValue], lanes: int
    ) -> IRValue:
        args = _GUARDED.get(name, _unguarded)(self, args)
        kind = SCALARS[args[-1].dtype]
        if kind in ("double", "i64") and ("{U}" in template or "{F}" in template):
            raise KernelError(f"llvm: {name} is given {args[-1].dtype.name}, expected a 32-bit type; cast it")
        text = template.format(
            *(arg.text for arg in args),
            T=vector_type(kind, lanes),
            S=suffix(kind, lanes),
            C=vector_type("i1", lanes),
            U=vector_type("i32", lanes),
            F=vector_type("float", lanes),
            ONES="true" if kind == "i1" and lanes == 1 else _splat_literal(kind, "-1", lanes),
        )
        return IRValue(self.lines.let(text), dtype, lanes)

    def _call_provided(self, name: str, dtype: DType, args: list[IRValue], lanes: int) -> IRValue:
        """Write the call of a provided function, for all lanes together."""
        symbol = f"@{PROVIDED}{name}.{suffix(SCALARS[dtype], lanes)}"
        whole = vector_type(SCALARS[dtype], lanes)
        self.lines.declarations.add(f"declare {whole} {symbol}({', '.join(arg.type for arg in args)})")
        given = ", ".join(f"{arg.type} {arg.text}" for arg in args)
        return IRValue(self.lines.let(f"call {whole} {symbol}({given})"), dtype, lanes)

    def _call_c(self, name: str, dtype: DType, args: list[IRValue], lanes: int) -> IRValue:
        """Write calls of a C library function, lane by lane."""
        parameters = ", ".join("double" for _ in args)
        self.lines.declarations.add(f"declare {SCALARS[dtype]} @{name}({parameters})")
        if lanes == 1:
            given = ", ".join(f"double {arg.text}" for arg in args)
            return IRValue(self.lines.let(f"call {SCALARS[dtype]} @{name}({given})"), dtype)
        whole, text = vector_type(SCALARS[dtype], lanes), "poison"
        for lane in range(lanes):
            given = ", ".join(f"double {self.lane(arg, lane).text}" for arg in args)
            result = self.lines.let(f"call {SCALARS[dtype]} @{name}({given})")
            text = self.lines.let(f"insertelement {whole} {text}, {SCALARS[dtype]} {result}, i64 {lane}")
        return IRValue(text, dtype, lanes)

    def lane(self, value: IRValue, lane: int) -> IRValue:
        """Return a lane of a value; a scalar is the same in every lane."""
        if value.lanes == 1:
            return value
        return IRValue(self.lines.let(f"extractelement {value.type} {value.text}, i64 {lane}"), value.dtype)

    def compare(self, sign: str, value: IRValue, constant: int) -> IRValue:
        """Write ``icmp`` of an integer and a constant."""
        other = _splat_literal(SCALARS[value.dtype], str(constant), value.lanes)
        text = self.lines.let(f"icmp {sign} {value.type} {value.text}, {other}")
        return IRValue(text, dtypes.bool_, value.lanes)

    def select(self, condition: IRValue, a: IRValue, b: IRValue) -> IRValue:
        """Write the choice, lane by lane, of ``a`` where the condition holds, else ``b``."""
        lanes = max(condition.lanes, a.lanes, b.lanes)
        condition, a, b = (self.splat(value, lanes) for value in (condition, a, b))
        text = f"select {condition.type} {condition.text}, {a.type} {a.text}, {b.type} {b.text}"
        return IRValue(self.lines.let(text), a.dtype, lanes)


def _splat_literal(kind: str, text: str, lanes: int) -> str:
    return text if lanes == 1 else f"splat ({kind} {text})"


def _conversion(value: IRValue, dtype: DType) -> str | None:
    """Return the instruction that converts ``value``, ``None`` where the bits are the same."""
    source, given, target = value.dtype, value.type, vector_type(SCALARS[dtype], value.lanes)
    if source is dtype or (source.is_integer and dtype.is_integer and SCALARS[source] == SCALARS[dtype]):
        return None
    if dtype.kind == "bool":
        compare = "fcmp une" if source.kind == "float" else "icmp ne"
        return f"{compare} {given} {value.text}, zeroinitializer"
    if source.kind == dtype.kind == "float":
        word = "fpext" if dtype.bits > source.bits else "fptrunc"
        return f"{word} {given} {value.text} to {target}"
    if source.kind == "float":
        name = f"llvm.fpto{'s' if dtype.kind == 'int' else 'u'}i.sat"
        names = f"{suffix(SCALARS[dtype], value.lanes)}.{suffix(SCALARS[source], value.lanes)}"
        return f"call {target} @{name}.{names}({given} {value.text})"
    if dtype.kind == "float":
        return f"{'sitofp' if source.kind == 'int' else 'uitofp'} {given} {value.text} to {target}"
    if SCALAR_BITS[dtype] < SCALAR_BITS[source]:
        return f"trunc {given} {value.text} to {target}"
    return f"{_CAST_INTEGER[source.kind]} {given} {value.text} to {target}"


# Guards of operations that are undefined in LLVM, with WGSL's results: the shift distance is taken modulo the width,
# ``x / 0`` is x, ``x % 0`` is 0, and the lowest integer divided by -1 is itself.
def _unguarded(emitter: Emitter, args: list[IRValue]) -> list[IRValue]:
    return args


def _masked_shift(emitter: Emitter, args: list[IRValue]) -> list[IRValue]:
    value, distance = args
    width = _splat_literal(SCALARS[distance.dtype], str(SCALAR_BITS[distance.dtype] - 1), distance.lanes)
    text = emitter.lines.let(f"and {distance.type} {distance.text}, {width}")
    return [value, IRValue(text, distance.dtype, distance.lanes)]


def _safe_divisor(emitter: Emitter, args: list[IRValue]) -> list[IRValue]:
    x, y = args
    if not y.text.startswith("%") and not _TRAPS.search(y.text):
        return args
    trap = emitter.compare("eq", y, 0)
    if y.dtype.kind == "int":
        lowest = emitter.compare("eq", x, -(1 << (SCALAR_BITS[x.dtype] - 1)))
        minus = emitter.compare("eq", y, -1)
        both = emitter.lines.let(f"and {trap.type} {lowest.text}, {minus.text}")
        trap = IRValue(emitter.lines.let(f"or {trap.type} {trap.text}, {both}"), trap.dtype, trap.lanes)
    one = IRValue("1", y.dtype)
    return [x, emitter.select(trap, one, y)]


_TRAPS: Final = re.compile(r"(^| )(0|-1)\)?$")
_GUARDED: Final[Mapping[str, Callable[[Emitter, list[IRValue]], list[IRValue]]]] = {
    "shl": _masked_shift, "shr": _masked_shift, "idiv": _safe_divisor, "irem": _safe_divisor,
}  # fmt: skip
