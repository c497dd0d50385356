"""The WGSL emitter: writes an expression DAG as statements, one or four elements at a time.

It handles types, constants, functions and common subexpressions; its owner (a derived kernel, a definition) resolves
variables and loads. ``codegen.wgsl`` builds on this module, which imports nothing of it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from weft import dtypes
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr.define import definition
from weft.expr.functions import FUNCTIONS, Function, result_dtype
from weft.expr.node import Expr, walk
from weft.expr.wgsl_exact import ORDERS, joined_operands, shared_operand
from weft.expr.wgsl_forms import wgsl_form
from weft.expr.wgsl_helpers import WRITTEN, to_integer
from weft.expr.wgsl_text import Declarations, bare, literal, rounding, suffix, type_name

_MOST_NESTED = 6  # the deepest nesting of calls without a name: for readers, and for recursive parsers

# Templates for functions whose form depends on the kind. {R} is the result's type, {U} the unsigned type.
_TEMPLATES: dict[tuple[str, str], str] = {
    ("bits", "float"): "bitcast<{R}>({0})",
    ("from_bits", "uint"): "bitcast<{R}>({0})",
    ("xor", "bool"): "({0} != {1})",
    ("not", "bool"): "(!{0})",
    # naga writes != as an ordered comparison, which is false for NaN
    ("ne", "float"): "(!({0} == {1}))",
    # a shift distance is taken modulo 32, which WGSL defines and SPIR-V does not
    ("shl", "int"): "({0} << ({U}({1}) & {U}(31u)))",
    ("shl", "uint"): "({0} << ({1} & {U}(31u)))",
    ("shr", "int"): "({0} >> ({U}({1}) & {U}(31u)))",
    ("shr", "uint"): "({0} >> ({1} & {U}(31u)))",
    ("shl", "const"): "({0} << {1})",
    ("shr", "const"): "({0} >> {1})",
}

# Narrowing casts inside an expression: to the element type and back to its compute type.
_NARROW = {
    dtypes.int16: "(({S}({0}) << {U}(16u)) >> {U}(16u))",
    dtypes.int8: "(({S}({0}) << {U}(24u)) >> {U}(24u))",
    dtypes.uint8: "({S}({0}) & {S}(255i))",
}


def call_text(
    declarations: Declarations, name: str, given: tuple[DType, ...], texts: Sequence[str], width: int = 1
) -> str:
    """Return the text of a table function applied to texts of the given types, all ``width`` elements wide."""
    function = FUNCTIONS["quotient" if name == "div" and declarations.exact_division else name]
    kind = given[-1].compute.kind
    if name in WRITTEN:
        WRITTEN[name](declarations, width)
    template = _TEMPLATES.get((name, kind), function.wgsl)
    if template is None:
        return f"{_helper(declarations, function, given, width)}({', '.join(texts)})"
    if name == "irem" and kind == "int":
        return f"{declarations.remainder(width)}({', '.join(texts)})"
    return template.format(
        *texts,
        T=type_name(given[-1], width),
        R=type_name(result_dtype(function, given), width),
        U=type_name(dtypes.uint32, width),
        S=type_name(dtypes.int32, width),
        W=suffix(width),
    )


def _helper(declarations: Declarations, function: Function, given: tuple[DType, ...], width: int) -> str:
    """Return the name of the helper function of a table function with a definition; declares it at first use."""
    root = definition(function.name, given)
    if root is None:
        kinds = ", ".join(dtype.name for dtype in given)
        raise KernelError(
            f"function {function.name!r} of ({kinds}) has neither a WGSL template nor a definition"
        )
    root = wgsl_form(root)
    kind = type_name(given[-1])
    name = f"weft_{function.name}" + (f"_{kind}" if kind != "f32" else "") + suffix(width)
    if name in declarations.functions:
        return name
    emitter = Emitter(
        declarations,
        lambda node: WgslValue(f"{node.data}_", width, type_name(node.dtype, width)),
        width,
        trusted=True,
    )
    emitter.count([root])
    result = bare(emitter.widened(emitter.value(root)))
    arguments = ", ".join(
        f"{parameter}_: {type_name(dtype, width)}"
        for parameter, dtype in zip(function.parameters, given, strict=True)
    )
    body = "\n".join([*emitter.lines, f"    return {result};"])
    declarations.functions[name] = f"fn {name}({arguments}) -> {type_name(root.dtype, width)} {{\n{body}\n}}"
    return name


@dataclass(frozen=True)
class WgslValue:
    """The emitted text of a node: an expression of ``width`` elements, with its WGSL type.

    ``depth`` is the nesting of calls in the text; a text of depth 0 is a name or literal, which may be repeated.
    """

    text: str
    width: int
    type: str
    depth: int = 0
    literal: bool = False


Resolve = Callable[[Expr], WgslValue]


class Emitter:
    """Writes nodes as WGSL into ``lines``; each node once, as a ``let`` where it is used again.

    Args:
        declarations: Receives the helper functions that the text calls.
        resolve: Returns the text of a variable or a load.
        width: With 4 a node is a ``vec4`` where one of its arguments is, and a scalar elsewhere.
        opaque_loads: Whether ``resolve`` itself handles the index of a load.
        trusted: Whether the expression is a definition of the table, which allows for the optimisations of drivers.
    """

    def __init__(
        self,
        declarations: Declarations,
        resolve: Resolve,
        width: int = 1,
        opaque_loads: bool = False,
        trusted: bool = False,
    ) -> None:
        self.trusted = trusted
        self.declarations = declarations
        self.resolve = resolve
        self.width = width
        self.opaque_loads = opaque_loads
        self.lines: list[str] = []
        self._indent = "    "
        self._scopes: list[dict[Expr, WgslValue]] = [{}]
        self._uses: Counter[Expr] = Counter()
        self._numbers = itertools.count()
        self.reserved: frozenset[str] = frozenset()

    def beside(self, resolve: Resolve, width: int, opaque_loads: bool) -> Emitter:
        """Return another emitter that writes into the same lines, with its own values."""
        other = Emitter(self.declarations, resolve, width, opaque_loads)
        other.lines, other._numbers, other.reserved = self.lines, self._numbers, self.reserved
        return other

    # -- text ---------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Append a statement at the current indentation."""
        self.lines.append(self._indent + text)

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """Write ``header { … }``; names from inside are not reused after it."""
        self.open(header)
        yield
        self.close()

    def open(self, header: str) -> None:
        """Begin a block that ``close`` ends."""
        self.line(f"{header} {{")
        self._indent += "    "
        self._scopes.append({})

    def close(self) -> None:
        """End the block that ``open`` began."""
        self._scopes.pop()
        self._indent = self._indent[:-4]
        self.line("}")

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Enter a block that another emitter of the same lines writes."""
        self._indent += "    "
        self._scopes.append({})
        yield
        self._scopes.pop()
        self._indent = self._indent[:-4]

    def fresh(self, prefix: str = "t") -> str:
        """Return a name that this emitter has not used, and that is not ``reserved``."""
        while (name := f"{prefix}{next(self._numbers)}") in self.reserved:
            pass
        return name

    # -- values -------------------------------------------------------------------------------------------

    def count(self, roots: Iterable[Expr]) -> None:
        """Count the uses of each node under roots, so that nodes with a single use get no name."""
        roots = list(roots)
        self._uses.update(roots)
        for node in walk(*roots):
            self._uses.update(node.args)

    def define(self, node: Expr, text: str, width: int = 1) -> None:
        """Set the text of ``node`` in the current scope."""
        self._scopes[-1][node] = WgslValue(text, width, type_name(node.dtype, width))

    def value(self, root: Expr) -> WgslValue:
        """Return the text of ``root``, after writing the statements that it needs."""
        stack = [root]
        while stack:
            node = stack[-1]
            if self._known(node) is None:
                arguments = () if node.function == "load" and self.opaque_loads else node.args
                missing = [arg for arg in arguments if self._known(arg) is None]
                if missing:
                    stack.extend(reversed(missing))
                    continue
                self._scopes[-1][node] = self._shared(node, self._rendered(node))
            stack.pop()
        found = self._known(root)
        assert found is not None
        return found

    def named(self, node: Expr) -> WgslValue:
        """Return the value of a node as a name or a literal, which may be repeated."""
        value = self.value(node)
        if value.depth:
            value = self._named(value)
            self._scopes[-1][node] = value
        return value

    def hoist(self, roots: Iterable[Expr], later: Iterable[Expr]) -> list[Expr]:
        """Name the loop-invariant nodes under the roots, before a loop over the ``later`` variables.

        Returns:
            The named nodes.
        """
        roots, dependent = list(roots), set(later)
        order = list(walk(*roots))
        for node in order:
            if any(arg in dependent for arg in node.args):
                dependent.add(node)
        outside = [arg for node in order if node in dependent for arg in node.args if arg not in dependent]
        nodes = list(dict.fromkeys([*outside, *(root for root in roots if root not in dependent)]))
        for node in nodes:
            self.named(node)
        return nodes

    def widened(self, value: WgslValue) -> str:
        """Return the value's text as a vector of the emitter's width."""
        return value.text if value.width == self.width else self._splat(value)

    def _splat(self, value: WgslValue) -> str:
        return f"vec{self.width}<{value.type}>({bare(value.text)})"

    def _known(self, node: Expr) -> WgslValue | None:
        for scope in reversed(self._scopes):
            if node in scope:
                return scope[node]
        return None

    def _shared(self, node: Expr, value: WgslValue) -> WgslValue:
        """Return the value, or a name for it where it is used again, deeply nested, or loaded from memory."""
        if value.depth == 0 or (
            node.function != "load" and self._uses[node] == 1 and value.depth < _MOST_NESTED
        ):
            return value
        return self._named(value)

    def _named(self, value: WgslValue) -> WgslValue:
        name = self.fresh()
        self.line(f"let {name} = {bare(value.text)};")
        return WgslValue(name, value.width, value.type)

    def _rendered(self, node: Expr) -> WgslValue:
        if node.function == "const":
            text = literal(node.data, node.dtype, self.declarations)
            return WgslValue(text, 1, type_name(node.dtype), int("bitcast" in text), literal=True)
        if node.function in ("variable", "load"):
            return self.resolve(node)
        arguments = [value for arg in node.args if (value := self._known(arg)) is not None]
        if all(value.literal for value in arguments) or _divides_by_zero(node):
            # a name makes the operand a run-time value: WGSL rejects constant expressions that overflow or divide by 0
            arguments[-1] = self._named(arguments[-1])
        width = max(value.width for value in arguments)
        texts = [value.text if value.width == width else self._splat(value) for value in arguments]
        depth = 1 + max(value.depth for value in arguments)
        texts = self._hide_algebra(node, texts, width)
        if not self.trusted:
            texts = self._hide_common_terms(node, texts, width)
        return WgslValue(self._call(node, texts, width), width, type_name(node.dtype, width), depth)

    def _call(self, node: Expr, texts: list[str], width: int) -> str:
        if node.function == "cast":
            return self._cast(node, texts[0], width)
        given = tuple(arg.dtype for arg in node.args)
        if node.function in ("shl", "shr") and node.args[1].function == "const":
            amount = f"{node.args[1].data % 32}u"
            return _TEMPLATES[node.function, "const"].format(
                texts[0], amount if width == 1 else f"{type_name(dtypes.uint32, width)}({amount})"
            )
        if node.function == "ne" and given[0].kind == "float" and node.args[0] is node.args[1]:
            # by bits: compilers fold x != x
            return call_text(self.declarations, "isnan", given[:1], texts[:1], width)
        return call_text(self.declarations, node.function, given, texts, width)

    def _hide_algebra(self, node: Expr, texts: list[str], width: int) -> list[str]:
        """Hide operands from drivers that would apply the algebra of real numbers to the operation.

        Mesa, HLSL and Metal compilers turn ``(a + b) - a`` into ``b``, ``y - n * h - n * l`` into ``y - n * (h + l)``
        and ``x * 0`` into 0, and a choice by comparison into a minimum that loses NaN; WGSL has no ``precise``.
        """
        if node.function == "where" and node.dtype.kind == "float":
            condition, *chosen = node.args
            for position, arg in enumerate(chosen, 1):
                if condition.function in ORDERS and arg in condition.args and arg.function != "const":
                    texts[position] = f"{self.declarations.exact(width)}({texts[position]})"
                    break  # a single operand: of two, compilers move the common helper call out of the choice
            return texts
        if node.function not in ("add", "sub", "mul", "fma") or node.dtype.kind != "float":
            return texts
        for position, arg in enumerate(node.args):
            if arg.function == "const" and arg.data == 0:
                sign = "(-{})" if str(arg.data) == "-0.0" else "{}"
                zero = sign.format(f"bitcast<f32>({self.declarations.zero()})")
                texts[position] = zero if width == 1 else f"vec{width}<f32>({zero})"
        hidden = shared_operand(node)
        if hidden is not None:
            texts[hidden] = f"{self.declarations.exact(width)}({texts[hidden]})"
        return texts

    def _hide_common_terms(self, node: Expr, texts: list[str], width: int) -> list[str]:
        """Hide operands whose constants, or common terms, drivers would combine across the operation."""
        for position in joined_operands(node):
            if not texts[position].startswith("weft_exact"):
                texts[position] = f"{self.declarations.exact(width)}({texts[position]})"
        return texts

    def _cast(self, node: Expr, text: str, width: int) -> str:
        """Return a conversion; float to integer saturates, and NaN becomes 0."""
        source, target = type_name(node.args[0].dtype, width), type_name(node.dtype, width)
        if node.dtype.kind == "bool" and node.args[0].dtype.compute.kind == "float":
            return f"(!({text} == {target.replace('bool', 'f32')}(0.0f)))"
        if node.dtype.is_integer and node.args[0].dtype.compute.kind == "float" and not self.trusted:
            text = f"{to_integer(self.declarations, type_name(node.dtype), width)}({text})"
            source = target
        if node.dtype in _NARROW and node.args[0].dtype is not node.dtype:
            return _NARROW[node.dtype].format(text, S=target, U=type_name(dtypes.uint32, width))
        if node.dtype.kind == "float" and node.dtype.bits == 16:
            narrow = rounding(self.declarations, node.dtype)
            wide = text if source == target else f"{target}({text})"
            if width == 1:
                return f"{narrow}({wide})"
            name = self.fresh()
            self.line(f"let {name} = {wide};")
            return f"{target}({', '.join(f'{narrow}({name}.{lane})' for lane in 'xyzw')})"
        return text if source == target else f"{target}({text})"


def _divides_by_zero(node: Expr) -> bool:
    divisor = node.args[-1]
    return node.function in ("idiv", "irem") and divisor.function == "const" and divisor.data == 0
