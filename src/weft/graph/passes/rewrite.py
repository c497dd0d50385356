"""Rewriting a graph node by node with a table of rules.

A rule looks at one node, whose operands are rewritten already, and gives the value that stands for its output, or
``None``. It may look up what made an operand, and emit nodes of its own in front; these are rewritten too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from weft import dtypes
from weft.graph.ir import Atom, Graph, Node, State, Var
from weft.ops import OpSpec, TensorType, lookup

Rule = Callable[[Node, "Rewriting"], "Var | None"]
Table = Callable[[OpSpec], Sequence[Rule]]
"""The rules for an op, in the order in which they are tried."""


def type_of(atom: Atom) -> TensorType:
    """The type that an op's ``infer`` is given for an operand."""
    return atom.type if isinstance(atom, Var) else TensorType((), dtypes.of_scalar(atom), True)


class Rewriting:
    """One pass over a graph: what has been emitted so far, and what stands for which value."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[Node] = []
        self._made: dict[int, Node] = {}
        self._instead: dict[int, Var] = {}
        self._next = 1 + max((var.id for var in _variables(graph)), default=-1)
        self._readers: dict[int, list[int]] | None = None
        self._origins: dict[int, Node] | None = None
        self._table: Table = lambda op: ()
        self.notes: dict[Any, Any] = {}
        """What rules leave for rules that are tried later in the same pass."""

    def maker(self, atom: Atom, op: str | None = None) -> Node | None:
        """The node that makes a value; with ``op`` only where it is of that op. ``None`` for inputs and states."""
        node = self._made.get(atom.id) if type(atom) is Var else None
        return node if node is None or op is None or node.op == op else None

    def readers(self, var: Var) -> list[int]:
        """Who reads a value: the first output of each node, and -1 for an output of the graph or a final state.

        Counted in the graph as it was before the pass; a value that stands for another has that one's readers.
        """
        if self._readers is None:
            self._readers = {}
            for id_, reader in _readings(self._graph):
                now = self._instead[id_].id if id_ in self._instead else id_
                self._readers.setdefault(now, []).append(reader)
        return self._readers.get(var.id, [])

    def origin(self, id_: int) -> Node | None:
        """The node that makes a value in the graph as it was before the pass, also behind the node at hand."""
        if self._origins is None:
            self._origins = {out.id: node for node in self._graph.nodes for out in node.outputs}
        return self._origins.get(id_)

    def emit(self, like: Node, op: str, *inputs: Atom, **attributes: Any) -> Var:
        """The value of an op's single output; at the site and on the device of another node."""
        (type_,) = lookup(op).infer(*map(type_of, inputs), **attributes)
        return self.emit_all(like, op, inputs, attributes, (type_,))[0]

    def emit_all(
        self, like: Node, op: str, inputs: Sequence[Atom], attributes: Mapping[str, Any],
        types: Sequence[TensorType],
    ) -> tuple[Var, ...]:  # fmt: skip
        """The values of an op's outputs, of the given types."""
        outputs = tuple(Var(self._next + at, type_, like.outputs[0].device) for at, type_ in enumerate(types))
        self._next += len(outputs)
        self._take(Node(op, tuple(inputs), outputs, tuple(attributes.items()), like.site))
        return tuple(self._instead.get(output.id, output) for output in outputs)

    def replace(self, var: Var, other: Var) -> None:
        """Let another value stand for an output of the node at hand, or of one behind it."""
        self._instead[var.id] = other
        if self._readers is not None:
            self._readers[other.id] = self._readers.get(other.id, []) + self._readers.get(var.id, [])

    def _take(self, node: Node) -> None:
        spec = lookup(node.op)
        for rule in self._table(spec):
            found = rule(node, self)
            if found is not None:
                self.replace(node.outputs[0], found)
                return
        self._nodes.append(node)
        for out in node.outputs:
            self._made[out.id] = node

    def run(self, table: Table) -> Graph:
        """The graph with every rule applied; the same object where none was."""
        graph, instead = self._graph, self._instead
        held = _counted(graph)
        self._table = table
        for node in graph.nodes:
            for source in node.inputs if instead else ():
                if type(source) is Var and source.id in instead:
                    inputs = tuple(instead.get(i.id, i) if isinstance(i, Var) else i for i in node.inputs)
                    node = Node(node.op, inputs, node.outputs, node.attributes, node.site)
                    break
            if node.outputs[0].id in held:
                self._nodes.append(node)
                self._made.update((out.id, node) for out in node.outputs)
            elif node.outputs[0].id not in instead:
                self._take(node)
        if not instead:
            return graph
        return self.finished(self._nodes)

    def finished(self, nodes: Sequence[Node]) -> Graph:
        """The graph of these nodes with outputs and final states as they are now."""
        graph, instead = self._graph, self._instead
        states = tuple(
            State(state.initial, instead[state.final.id]) if state.final.id in instead else state
            for state in graph.states
        )
        outputs = tuple(
            instead.get(output.id, output) if isinstance(output, Var) else output for output in graph.outputs
        )
        return Graph(graph.inputs, states, tuple(nodes), outputs)


def rewritten(graph: Graph, table: Table) -> Graph:
    """The graph with a table's rules applied once from front to back."""
    return Rewriting(graph).run(table)


def _variables(graph: Graph) -> list[Var]:
    made = [out for node in graph.nodes for out in node.outputs]
    return [*graph.inputs, *(state.initial for state in graph.states), *made]


def _readings(graph: Graph) -> Iterator[tuple[int, int]]:
    """Every reading of a value: which, and by whom."""
    for node in graph.nodes:
        for source in node.inputs:
            if isinstance(source, Var):
                yield source.id, node.outputs[0].id
    for output in (*graph.outputs, *(state.final for state in graph.states if state.changed)):
        if isinstance(output, Var):
            yield output.id, -1


def _counted(graph: Graph) -> set[int]:
    """Values that ``strided`` counts the elements of: they must lie in row-major order, so they stay as they are."""
    held: set[int] = set()
    for node in reversed(graph.nodes):
        viewed = node.op != "strided" and lookup(node.op).view is not None and node.outputs[0].id in held
        if (node.op == "strided" or viewed) and isinstance(node.inputs[0], Var):
            held.add(node.inputs[0].id)
    return held
