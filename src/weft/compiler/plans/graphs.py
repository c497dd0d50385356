"""Encode graphs as JSON, and decode them with full validation: a decoded graph is one that a trace could have made.

Every op must be known and have the contract of the saved plan, every attribute must have its declared type, every value
must be defined once and before its use, every type must be the type that the op infers, and every view must lie within
its base.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from weft import dtypes
from weft.compiler.plans.bodies import check_bodies
from weft.compiler.plans.contracts import contract
from weft.compiler.plans.fields import Field
from weft.compiler.plans.values import MOST_LEVELS, read, read_dtype, read_shape, written
from weft.errors import FormatError, UnsupportedError, WeftError
from weft.graph import Graph, Node, State, Var
from weft.graph.ir import Atom
from weft.ops import Geometry, OpSpec, TensorType, lookup
from weft.ops.registry.attributes import attribute_types, fits
from weft.ops.views.ops import Path

T = TypeVar("T")
LONGEST_NAME = 200
"""The most characters of an op's name, including derived gradients of gradients."""


# Writing.


def write_graph(graph: Graph) -> dict[str, Any]:
    """Return a graph as JSON, without its device, which is stored once for the whole plan."""
    return {
        "inputs": [_var(source) for source in graph.inputs],
        "states": [{"initial": _var(state.initial), "final": state.final.id} for state in graph.states],
        "nodes": [_node(node) for node in graph.nodes],
        "outputs": [_atom(output, "an output") for output in graph.outputs],
    }


def write_contracts(graph: Graph) -> dict[str, str]:
    """Return the contract of each op of a graph and of the graphs within it, by name."""
    return {name: contract(lookup(name)) for name in sorted(_ops(graph))}


def _ops(graph: Graph) -> set[str]:
    found = {node.op for node in graph.nodes}
    for node in graph.nodes:
        for _, value in node.attributes:
            for part in value if isinstance(value, tuple) else (value,):
                found |= _ops(part) if isinstance(part, Graph) else set()
    return found


def write_type(type_: TensorType) -> dict[str, Any]:
    """Return a type as JSON."""
    return {"dtype": type_.dtype.name, "shape": list(type_.shape)}


def _var(var: Var) -> dict[str, Any]:
    return {"id": var.id, **write_type(var.type)}


def _atom(atom: Atom, label: str) -> Any:
    return {"value": atom.id} if isinstance(atom, Var) else written(atom, label)


def _node(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {
        "op": node.op,
        "inputs": [_atom(source, f"an operand of {node.op}") for source in node.inputs],
        "outputs": [_var(output) for output in node.outputs],
        "site": node.site,
    }
    if node.attributes:
        found["attributes"] = {key: _attribute(value, f"{node.op}'s {key}") for key, value in node.attributes}
    return found


def _attribute(value: Any, label: str) -> Any:
    if isinstance(value, Graph):
        return {"graph": write_graph(value)}
    if type(value) is tuple:
        return [_attribute(item, label) for item in value]
    return written(value, label)


# Reading.


def read_type(fields: dict[str, Field]) -> TensorType:
    """Return a type from the members ``dtype`` and ``shape``."""
    return TensorType(read_shape(fields["shape"]), read_dtype(fields["dtype"]))


def check_contracts(field: Field) -> None:
    """Raise ``FormatError`` for an op that this weft lacks or declares otherwise."""
    for name, promised in field.entries().items():
        op = known_op(promised, name)
        if promised.text() != contract(op):
            raise promised.error(
                f"{contract(op)}, as the op {name!r} is declared here",
                f"{promised.value}, from another version of weft or another kernel of that name; "
                "trace the function again",
            )


def known_op(field: Field, name: str) -> OpSpec:
    """Return the op of that name; an error of the field where there is none."""
    if len(name) > LONGEST_NAME:
        raise field.error(f"the name of an op, at most {LONGEST_NAME} characters")
    try:
        op = lookup(name)
    except (WeftError, LookupError, ValueError, RecursionError):
        if name.startswith("custom."):
            fix = f"weft.register_kernel({name.split('.')[1]!r}, …) with the same source before load_plan"
            raise field.error(fix, f"the op {name!r}, which is not registered") from None
        raise field.error("an op of this weft", f"the op {name!r}") from None
    if op.name == "transfer":
        raise field.error("ops of one device", "the op 'transfer'")
    return op


class GraphReader:
    """Decodes the graphs of one file; ``saved`` is the device in its attributes, ``device`` the new device."""

    def __init__(self, saved: str, device: str, contracts: Field) -> None:
        self.saved, self.device = saved, device
        self.promised = contracts.entries()

    def read(self, field: Field, level: int = 0) -> Graph:
        """Return a graph after all checks."""
        if level > MOST_LEVELS:
            raise field.error(f"graphs within graphs of at most {MOST_LEVELS} levels")
        parts = field.members("inputs", "states", "nodes", "outputs")
        values: dict[int, Var] = {}
        inputs = tuple(self._define(part, values) for part in parts["inputs"].items())
        states = [part.members("initial", "final") for part in parts["states"].items()]
        initial = [self._define(state["initial"], values) for state in states]
        nodes = tuple(self._node(part, values, level) for part in parts["nodes"].items())
        outputs = tuple(_read_atom(part, values) for part in parts["outputs"].items())
        made = []
        for first, entry in zip(initial, states, strict=True):
            last = _known(entry["final"], values)
            if last.type != first.type:
                raise entry["final"].error(
                    f"a value of type {first.type!r}", f"a value of type {last.type!r}"
                )
            made.append(State(first, last))
        return Graph(inputs, tuple(made), nodes, outputs)

    def _define(self, field: Field, values: dict[int, Var]) -> Var:
        parts = field.members("id", "dtype", "shape")
        var = Var(parts["id"].integer(), read_type(parts), self.device)
        if var.id in values:
            raise parts["id"].error("a number that is not used by another value of the graph")
        values[var.id] = var
        return var

    def _node(self, field: Field, values: dict[int, Var], level: int) -> Node:
        parts = field.members("op", "inputs", "outputs", "site", optional=("attributes",))
        op = known_op(parts["op"], parts["op"].text())
        if op.name not in self.promised:
            raise parts["op"].error("an op that is listed under ops", f"{op.name!r}, which is not listed")
        inputs = tuple(_read_atom(part, values) for part in parts["inputs"].items())
        attributes = self._attributes(parts.get("attributes", field.at("attributes", {})), op, level)
        types = [
            source.type if isinstance(source, Var) else TensorType((), dtypes.of_scalar(source), True)
            for source in inputs
        ]
        _ruled(
            field,
            f"operands that the graphs of {op.name} take",
            lambda: check_bodies(op.name, types, attributes),
        )
        inferred = _ruled(
            field, f"operands and attributes that {op.name} takes", lambda: op.infer(*types, **attributes)
        )
        _ruled(
            field,
            f"dimensions and operands that {op.name} takes",
            lambda: check_call(op, types, inferred, attributes),
        )
        if op.view is not None or op.name == "update_view":
            _ruled(
                field, f"a view within its base for {op.name}", lambda: check_view(op, types[0], attributes)
            )
        declared = parts["outputs"].items()
        if len(declared) != len(inferred):
            raise parts["outputs"].error(
                f"the {len(inferred)} outputs of {op.name}", f"{len(declared)} outputs"
            )
        outputs = []
        for declaration, expected in zip(declared, inferred, strict=True):
            var = self._define(declaration, values)
            if (var.type.shape, var.type.dtype) != (expected.shape, expected.dtype):
                raise declaration.error(
                    f"{expected!r}, which {op.name} gives of its operands", repr(var.type)
                )
            outputs.append(var)
        return Node(op.name, inputs, tuple(outputs), tuple(attributes.items()), parts["site"].text())

    def _attributes(self, field: Field, op: OpSpec, level: int) -> dict[str, Any]:
        given = field.entries()
        sets = attribute_types(op)
        kinds = next((types for types in sets if set(types) == set(given)), None)
        if kinds is None:
            expected = " or ".join(", ".join(types) or "none" for types in sets)
            raise field.error(f"the attributes of {op.name}: {expected}", ", ".join(given) or "none")
        found = {}
        for name, part in given.items():
            value = self._attribute(part, level)
            if not fits(value, kinds[name]):
                raise part.error(f"the attribute {name} of {op.name}, of type {kinds[name]}")
            if name == "device":
                if value != self.saved:
                    raise part.error(f"{self.saved!r}, the device of the plan")
                value = self.device
            found[name] = value
        return found

    def _attribute(self, field: Field, level: int) -> Any:
        value = field.value
        if isinstance(value, dict) and set(value) == {"graph"}:
            return self.read(field.at("graph", value["graph"]), level + 1)
        if isinstance(value, list) and any(isinstance(item, dict) and "graph" in item for item in value):
            return tuple(self._attribute(item, level) for item in field.items())
        return read(field)


def _read_atom(field: Field, values: dict[int, Var]) -> Atom:
    if isinstance(field.value, dict) and "value" in field.value:
        return _known(field.members("value")["value"], values)
    found = read(field)
    if type(found) not in (bool, int, float):
        raise field.error("a number, or the number of a value")
    if type(found) is int and not -(2**63) <= found < 2**64:
        raise field.error("a whole number of 64 bits")
    return found  # type: ignore[no-any-return]


def _known(field: Field, values: dict[int, Var]) -> Var:
    number = field.integer()
    if number not in values:
        raise field.error(
            "the number of a value that is defined before", f"{number}, which is defined later or never"
        )
    return values[number]


def _ruled(field: Field, expected: str, rule: Callable[[], T]) -> T:
    """Return the result of an op's rule. Rules assume valid operands, so any error in them is an error of the file."""
    try:
        return rule()
    except FormatError:
        raise
    except Exception as error:
        raise field.error(expected, f"refused by its rule ({type(error).__name__}: {error})") from error


DIMENSIONS = ("dim", "dims", "dim1", "dim2", "order")
"""Attributes that hold dimension numbers from 0."""


def check_call(
    op: OpSpec, types: Sequence[TensorType], results: Sequence[TensorType], attributes: dict[str, Any]
) -> None:
    """Raise an error for a wrong number of operands, and for dimensions that are out of range or repeated."""
    inspect.signature(op.reference).bind(*types, **attributes)
    rank = max(len(type_.shape) for type_ in (*types[:1], *results))
    for name in DIMENSIONS:
        given = attributes.get(name, ())
        found = given if isinstance(given, tuple) else (given,)
        if any(not 0 <= value < rank for value in found) or len(set(found)) < len(found):
            raise UnsupportedError(f"{name} is {given}, expected dimensions of 0 to {rank - 1}, each once")


def check_view(op: OpSpec, base: TensorType, attributes: dict[str, Any]) -> None:
    """Raise ``UnsupportedError`` for a view, or a view on the path of an update, that reaches beyond its base."""
    geometry = Geometry.contiguous(base.shape)
    path: Path = attributes["path"] if op.name == "update_view" else ((op.name, tuple(attributes.items())),)
    for name, options in path:
        step, given = lookup(name), dict(options)
        if step.view is None or not any(
            set(type_) == set(given) and all(fits(given[key], kind) for key, kind in type_.items())
            for type_ in attribute_types(step)
        ):
            raise UnsupportedError(f"the path holds {name} with {given}, expected a view and its attributes")
        found = step.view(geometry, **given)
        if found is None or not _within(found, Geometry.contiguous(base.shape).numel):
            raise UnsupportedError(f"{name} with {given} reaches beyond the {base!r} that it views")
        geometry = found


def _within(geometry: Geometry, elements: int) -> bool:
    """Return whether all elements of a view lie in its base."""
    if any(size < 0 for size in geometry.shape):
        return False
    if geometry.numel == 0:
        return True
    moves = [(size - 1) * stride for size, stride in zip(geometry.shape, geometry.strides, strict=True)]
    low = geometry.offset + sum(move for move in moves if move < 0)
    high = geometry.offset + sum(move for move in moves if move > 0)
    return low >= 0 and high < elements
