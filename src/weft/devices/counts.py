"""Workgroup counts: the three expressions of a ``KernelSpec`` as one Python function of its parameters.

Devices evaluate the counts at each dispatch, so each expression tree is compiled to nested closures once per kernel.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from weft import dtypes
from weft.errors import KernelError
from weft.expr import Expr, parse, substitute, variable, variables
from weft.expr.define import definition
from weft.expr.functions import FUNCTIONS
from weft.target import KernelSpec

ParameterValue = int | float
Evaluate = Callable[[Sequence[ParameterValue]], ParameterValue]
Counts = Callable[[Sequence[ParameterValue]], tuple[int, int, int]]

_OPERATORS: dict[str, Callable[..., ParameterValue]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "neg": operator.neg, "abs": abs,
    "idiv": operator.floordiv, "irem": operator.mod, "floordiv": operator.floordiv, "mod": operator.mod,
    "ceil_div": lambda a, b: -(-a // b), "minimum": min, "maximum": max,
    "and": operator.and_, "or": operator.or_, "xor": operator.xor, "shl": operator.lshift, "shr": operator.rshift,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "where": lambda condition, a, b: a if condition else b,
}  # fmt: skip


REMEMBERED = 512
"""Results cached for each kernel; a full cache is cleared."""


def compile_counts(spec: KernelSpec) -> Counts:
    """Return a function from parameter values, in the order of ``spec.parameters``, to the workgroup counts.

    The function caches its results, and raises ``KernelError`` for values that exceed one of ``spec.bounds``.

    Raises:
        KernelError: For an expression with a function that host code does not have.
    """
    types = {parameter.name: parameter.dtype for parameter in spec.parameters}
    positions = {parameter.name: index for index, parameter in enumerate(spec.parameters)}
    parts = [_part(spec, source, types, positions) for source in spec.workgroup_count]
    amounts = [(_closure(spec, parse(bound.amount, types), positions), bound) for bound in spec.bounds]
    constant = tuple(part for part in parts if isinstance(part, int))
    if len(constant) == 3 and not amounts:
        return lambda values: constant
    x, y, z = (part if callable(part) else _constant(part) for part in parts)

    def computed(values: Sequence[ParameterValue]) -> tuple[int, int, int]:
        for amount, bound in amounts:
            if (found := amount(values)) > bound.most:
                raise KernelError(f"kernel {spec.name}: {bound.message} (here {found}, at most {bound.most})")
        return int(x(values)), int(y(values)), int(z(values))

    return _remembering(computed, sorted(counted_parameters(spec)))


def counted_parameters(spec: KernelSpec) -> set[int]:
    """Return the positions of the parameters on which the counts and bounds of a kernel depend."""
    types = {parameter.name: parameter.dtype for parameter in spec.parameters}
    positions = {parameter.name: index for index, parameter in enumerate(spec.parameters)}
    sources = [source for source in spec.workgroup_count if not source.strip().isdecimal()]
    sources += [bound.amount for bound in spec.bounds]
    return {positions[node.data] for source in sources for node in variables(parse(source, types))}


def _remembering(computed: Counts, used: list[int]) -> Counts:
    if not used:
        return computed
    sizes = operator.itemgetter(*used)
    known: dict[Any, tuple[int, int, int]] = {}

    def looked_up(values: Sequence[ParameterValue]) -> tuple[int, int, int]:
        key = sizes(values)
        found = known.get(key)
        if found is None:
            found = computed(values)
            if len(known) >= REMEMBERED:
                known.clear()
            known[key] = found
        return found

    return looked_up


def _part(
    spec: KernelSpec, source: str, types: dict[str, dtypes.DType], positions: dict[str, int]
) -> int | Evaluate:
    text = source.strip()
    if text.isdecimal():
        return int(text)
    return _closure(spec, parse(text, types), positions)


def _constant(value: ParameterValue) -> Evaluate:
    return lambda values: value


def _closure(spec: KernelSpec, node: Expr, positions: dict[str, int]) -> Evaluate:
    if node.function == "const":
        return _constant(node.data)
    if node.function == "variable":
        return operator.itemgetter(positions[node.data])
    if node.function == "cast" and node.dtype.is_integer:
        inner = _closure(spec, node.args[0], positions)
        return lambda values: int(inner(values))
    function = _OPERATORS.get(node.function)
    if function is None:
        return _closure(spec, _definition(spec, node), positions)
    args = [_closure(spec, arg, positions) for arg in node.args]
    if len(args) == 1:
        (only,) = args
        return lambda values: function(only(values))
    if len(args) == 2:
        left, right = args
        return lambda values: function(left(values), right(values))
    return lambda values: function(*(arg(values) for arg in args))


def _definition(spec: KernelSpec, node: Expr) -> Expr:
    """Return the definition of a function of the table, with its parameters replaced by the arguments."""
    types = tuple(arg.dtype for arg in node.args)
    formula = definition(node.function, types)
    if formula is None:
        raise KernelError(
            f"kernel {spec.name}: workgroup_count {spec.workgroup_count} uses {node.function!r}, "
            f"which host code does not have; it has {', '.join(_OPERATORS)}"
        )
    names = FUNCTIONS[node.function].parameters
    actual = {variable(name, arg.dtype): arg for name, arg in zip(names, node.args, strict=True)}
    return substitute(formula, actual)
