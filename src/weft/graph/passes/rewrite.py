"""Pattern rewriting of a graph, node by node, with a table of rules.

A rule takes a node whose operands have been rewritten, and returns a value that replaces the node's output, or
``None``. A rule may look up the nodes that compute its operands, and emit new nodes, which are rewritten in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from weft import dtypes
from weft.graph.ir import Atom, Graph, Node, State, Var
from weft.ops import OpSpec, TensorType, lookup

Rule = Callable[[Node, "Rewriting"], "Var | None"]
Table = Callable[[OpSpec], Sequence[Rule]]
"""Returns the rules of an op, in the order in which they are tried."""


def type_of(atom: Atom) -> TensorType:
    """Return the type of an operand, as an op's ``infer`` takes it."""
    return atom.type if isinstance(atom, Var) else TensorType((), dtypes.of_scalar(atom), True)


class Rewriting:
    """The state of one pass over a graph: the nodes emitted so far, and the replaced values."""

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
        """Data that rules store for other rules of the same pass."""

    def maker(self, atom: Atom, op: str | None = None) -> Node | None:
        """Return the node that computes a value, with ``op`` only a node of that op; ``None`` for inputs and states."""
        node = self._made.get(atom.id) if type(atom) is Var else None
        return node if node is None or op is None or node.op == op else None

    def readers(self, var: Var) -> list[int]:
        """Return the readers of a value: the id of each node's first output, and -1 for a graph output or final state.

        Readers are those of the graph before the pass. A value that replaces another also has the other's readers.
        """
        if self._readers is None:
            self._readers = {}
            for id_, reader in _readings(self._graph):
                now = self._instead[id_].id if id_ in self._instead else id_
                self._readers.setdefault(now, []).append(reader)
        return self._readers.get(var.id, [])

    def origin(self, id_: int) -> Node | None:
        """Return the node that computes a value in the graph before the pass, also behind the current node."""
        if self._origins is None:
            self._origins = {out.id: node for node in self._graph.nodes for out in node.outputs}
        return self._origins.get(id_)

    def emit(self, like: Node, op: str, *inputs: Atom, **attributes: Any) -> Var:
        """Emit a node with one output at the site and on the device of the node ``like``; return the output."""
        (type_,) = lookup(op).infer(*map(type_of, inputs), **attributes)
        return self.emit_all(like, op, inputs, attributes, (type_,))[0]

    def emit_all(
        self, like: Node, op: str, inputs: Sequence[Atom], attributes: Mapping[str, Any],
        types: Sequence[TensorType],
    ) -> tuple[Var, ...]:  # fmt: skip
        """Emit a node with outputs of the given types; return the outputs."""
        outputs = tuple(Var(self._next + at, type_, like.outputs[0].device) for at, type_ in enumerate(types))
        self._next += len(outputs)
        self._take(Node(op, tuple(inputs), outputs, tuple(attributes.items()), like.site))
        return tuple(self._instead.get(output.id, output) for output in outputs)

    def replace(self, var: Var, other: Var) -> None:
        """Replace an output of the current node, or of a later node, by another value."""
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
        """Return the graph with all rules applied; the same object where none applied."""
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
        """Return the graph of these nodes, with replaced outputs and final states."""
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
    """Return the graph with the rules of a table applied once, in program order."""
    return Rewriting(graph).run(table)


def _variables(graph: Graph) -> list[Var]:
    made = [out for node in graph.nodes for out in node.outputs]
    return [*graph.inputs, *(state.initial for state in graph.states), *made]


def _readings(graph: Graph) -> Iterator[tuple[int, int]]:
    """Yield each read of a value as (id of the value, id of the reader's first output)."""
    for node in graph.nodes:
        for source in node.inputs:
            if isinstance(source, Var):
                yield source.id, node.outputs[0].id
    for output in (*graph.outputs, *(state.final for state in graph.states if state.changed)):
        if isinstance(output, Var):
            yield output.id, -1


def _counted(graph: Graph) -> set[int]:
    """Return the ids of values that ``strided`` views, which no rule may change: they must be in row-major order."""
    held: set[int] = set()
    for node in reversed(graph.nodes):
        viewed = node.op != "strided" and lookup(node.op).view is not None and node.outputs[0].id in held
        if (node.op == "strided" or viewed) and isinstance(node.inputs[0], Var):
            held.add(node.inputs[0].id)
    return held
