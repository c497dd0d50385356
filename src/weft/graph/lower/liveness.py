"""Liveness of graph values: the last use of each value, and the ops that update a state and may work in place."""

from __future__ import annotations

from weft.graph.ir import Graph, Node, Var
from weft.ops import lookup


class Liveness:
    """The last use of each value of a graph, including uses of its views, and the updates of states."""

    def __init__(self, graph: Graph) -> None:
        self.root: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.made: set[int] = set()
        for at, node in enumerate(graph.nodes):
            for source in node.inputs:
                if isinstance(source, Var):
                    self.last[self._root(source)] = at
            is_view = lookup(node.op).view is not None
            for out in node.outputs:
                if is_view and isinstance(node.inputs[0], Var):
                    self.root[out.id] = self._root(node.inputs[0])
                else:
                    self.made.add(out.id)
        # by the id of a view's base: how many outputs and final states hold it
        self.kept: dict[int, int] = {}
        for output in (*graph.outputs, *(state.final for state in graph.states if state.changed)):
            if isinstance(output, Var):
                self.kept[self._root(output)] = self.kept.get(self._root(output), 0) + 1
        self._places: dict[int, dict[int, list[int]]] = {}
        self.updates = self._updates(graph)
        self.olds: dict[int, list[int]] = {}
        for old, new in self.updates:
            self.olds.setdefault(new, []).append(old)

    def is_made(self, var: Var) -> bool:
        """Return whether a node computes a value, or the base of which it is a view."""
        return self._root(var) in self.made

    def _root(self, var: Var) -> int:
        return self.root.get(var.id, var.id)

    def _updates(self, graph: Graph) -> set[tuple[int, int]]:
        """Return the pairs (old, new) of ids in the chain of updates from a state's initial to its final value."""
        makers = {out.id: (node, at) for node in graph.nodes for at, out in enumerate(node.outputs)}
        found = set()
        for state in graph.states:
            if not state.changed:
                continue
            chain, now = [], state.final
            while now.id != state.initial.id:
                if now.id not in makers:
                    break
                node, number = makers[now.id]
                before = self._origin(node, number, now, state.initial)
                if before is None:
                    break
                chain.append((before.id, now.id))
                now = before
            if now.id == state.initial.id:
                found |= set(chain)
        return found

    def _origin(self, node: Node, number: int, now: Var, initial: Var) -> Var | None:
        """Return the operand that an update's output replaces: the operand the op overwrites, or the state itself."""
        op = lookup(node.op)
        if node.op == "cond":
            return _passed(node, number)
        if op.overwrites:
            source = node.inputs[op.overwrites[number]] if number < len(op.overwrites) else None
            return source if isinstance(source, Var) and source.type == now.type else None
        if not op.elementwise or initial.type != now.type:
            return None
        return initial if initial.id in self._read_at(node) else None

    def _read_at(self, node: Node) -> dict[int, list[int]]:
        """Return for each variable that a node reads its positions among the operands."""
        found = self._places.get(id(node))
        if found is None:
            found = self._places[id(node)] = {}
            for place, source in enumerate(node.inputs):
                if isinstance(source, Var):
                    found.setdefault(source.id, []).append(place)
        return found

    def updated(self, node: Node, new: Var) -> list[int]:
        """Return the positions of the operands whose state's next value is ``new``."""
        places = self._read_at(node)
        return sorted(place for old in self.olds.get(new.id, ()) for place in places.get(old, ()))

    def updates_state(self, at: int, old: Var, new: Var) -> bool:
        """Return whether node ``at`` computes a state's next value from the previous value, and may do so in place."""
        return (old.id, new.id) in self.updates and self.ends(at, old, new, True)

    def ends(self, at: int, old: Var, new: Var, partial: bool) -> bool:
        """Return whether node ``at`` may overwrite ``old`` by ``new``."""
        if old.id in self.root or self.last[old.id] != at:
            return False  # ``old`` is a view, or is read later
        if (old.id, new.id) in self.updates:
            return self.kept.get(old.id, 0) == 0
        # other values only where it saves a copy: fused values have no memory, and the plan overlays the others
        return partial and old.id in self.made and old.id not in self.kept


def _passed(node: Node, number: int) -> Var | None:
    """Return the operand that one of the branches returns unchanged; ``None`` where there is none."""
    for _, body in node.attributes:
        for var, operand in zip(body.inputs, node.inputs[1:], strict=True):
            if var == body.outputs[number] and isinstance(operand, Var):
                return operand
    return None
