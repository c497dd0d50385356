"""The tape's data: ``GradientNode`` (a recorded op), ``Edge`` (an output of a node), saved tensors, accumulators.

The edges of a node lead to the nodes that made its operands. A node's sequence number is larger than those of all
nodes that it depends on, so that falling sequence numbers are a topological order.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from weft.autograd.hooks import Hook, LeafHooks
from weft.autograd.wrapping import wrap
from weft.errors import GradError
from weft.ops import OPS, OpSpec, TensorType

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor

_sequence = itertools.count(1)


class Edge(NamedTuple):
    """The history of a tensor: output ``output`` of ``node``."""

    node: GradientNode | Accumulator
    output: int


class Saved(NamedTuple):
    """A saved tensor: an operand or output that the gradient reads, with the version at the time of the call."""

    data: Any
    version: int
    edge: Edge | None
    itself: bool = False  # an output of the node that saves it: its edge is made when it is read


class Keeper(Protocol):
    """Decides how tensors are saved for the backward pass (checkpoints and compiled training)."""

    def keep(self, saved: Saved) -> Any:
        """Return the saved tensor, or an object with its attributes that can compute them later."""


keeper: ContextVar[Keeper | None] = ContextVar("weft_keeper", default=None)


_made = tuple.__new__  # of a named tuple, without its function between


def kept(saved: Saved) -> Any:
    """Return what a node keeps for a saved tensor: the tensor itself, unless a ``Keeper`` is set."""
    current = keeper.get()
    return saved if current is None else current.keep(saved)


class GradientNode:
    """A recorded op: the edges of its operands, and the tensors that its gradient reads."""

    __slots__ = (
        "__weakref__", "_inputs", "_outputs", "attributes", "edges", "freed", "hooks", "op", "output_types",
        "retains", "sequence", "types",
    )  # fmt: skip

    def __init__(
        self,
        op: OpSpec,
        attributes: dict[str, Any],
        edges: Sequence[Edge | None],
        types: tuple[TensorType, ...],
        output_types: tuple[TensorType, ...],
    ) -> None:
        self.op = op
        self.attributes = attributes
        self.edges = tuple(edges)
        self.types = types
        self.output_types = output_types
        self.sequence = next(_sequence)
        self._inputs: dict[int, Any] = {}
        self._outputs: list[Any] = []
        self.freed = False
        self.retains: dict[int, weakref.ref[Tensor]] = {}
        self.hooks: dict[int, dict[int, Hook]] | None = None

    @property
    def name(self) -> str:
        """The op's name."""
        return self.op.name

    @property
    def materializes(self) -> bool:
        """Whether the rule is given zeros, and not ``None``, for outputs that no gradient reached."""
        return bool(self.op.info.get("materializes", True))

    def save(self, operands: Sequence[Any], edges: Sequence[Edge | None]) -> None:
        """Save the operands that the gradients of the operands with ``edges`` read."""
        saves, current = self.op.saves, keeper.get()
        if callable(saves):
            saves = saves(tuple([edge is not None for edge in edges]))
        for index in saves:
            operand = operands[index]
            data = getattr(operand, "_data", None)
            if data is None:
                self._inputs[index] = operand
                continue
            saved = _made(Saved, (data, data.version, edges[index], False))
            self._inputs[index] = saved if current is None else current.keep(saved)

    def save_outputs(self, outputs: Sequence[Any]) -> None:
        """Save the outputs, without a reference cycle to the tensors that hold this node."""
        self._outputs = [kept(Saved(data, data.version, None, True)) for data in outputs]

    def input(self, index: int) -> Any:
        """Return operand ``index`` as it was at the call; ``GradError`` where it was overwritten since."""
        self._check_alive()
        saved = self._inputs[index]
        number = type(saved) is not Saved and isinstance(saved, bool | int | float)
        return saved if number else self._unpack(saved, saved.edge)

    def output(self, index: int = 0) -> Any:
        """Return output ``index`` as it was after the call; ``GradError`` where it was overwritten since."""
        self._check_alive()
        saved = self._outputs[index]
        return self._unpack(saved, Edge(self, index) if self.differentiable(index) else None)

    def differentiable(self, index: int) -> bool:
        """Return whether gradients flow through output ``index``."""
        return self.output_types[index].dtype.kind == "float" and index not in self.op.constants

    def _unpack(self, saved: Saved, edge: Edge | None) -> Tensor:
        data = saved.data
        if data.version != saved.version:
            raise GradError(
                f"{self.name}: a tensor {tuple(data.shape)} needed for its gradient has been modified by an "
                f"in-place operation: it is at version {data.version}, expected {saved.version}; "
                f"clone() it before the change"
            )
        return wrap(data, edge)

    def _check_alive(self) -> None:
        if self.freed:
            raise GradError(
                f"{self.name}: going backward through the graph a second time, after its saved values were freed; "
                f"pass retain_graph=True to the first backward"
            )

    def free(self) -> None:
        """Free the saved tensors."""
        self._inputs.clear()
        self._outputs.clear()
        self.freed = True

    def gradient(self, grads: Sequence[Any], needs: tuple[bool, ...]) -> Sequence[Any]:
        """Apply the op's gradient rule to the gradients of its outputs, for the operands in ``needs``."""
        assert self.op.gradient is not None, "only ops with a gradient are recorded"
        return self.op.gradient(Context(self, needs), *grads)

    def __repr__(self) -> str:
        return f"<{self.name} backward>"


class Accumulator:
    """The node of a leaf, which adds gradients to the leaf's ``grad``."""

    __slots__ = ("__weakref__", "leaf", "sequence")

    def __init__(self, leaf: Tensor) -> None:
        self.leaf = leaf
        self.sequence = 0

    @property
    def hooks(self) -> dict[int, dict[int, Hook]] | None:
        """The leaf's hooks on its gradient, by the number of the output, which is 0."""
        hooks: LeafHooks | None = getattr(self.leaf, "_hooks", None)
        return None if hooks is None else {0: hooks.before}

    def __repr__(self) -> str:
        return f"<accumulates into a leaf {tuple(self.leaf.shape)}>"


class Barrier(GradientNode):
    """An identity on several tensors whose gradient rule sees all their gradients at once; module hooks run in it."""

    __slots__ = ("_rule",)

    def __init__(self, rule: Callable[[tuple[Any, ...]], Sequence[Any]], tensors: Sequence[Tensor]) -> None:
        types = tuple([TensorType(tensor.shape, tensor.dtype) for tensor in tensors])
        super().__init__(OPS["copy"], {}, [tensor.edge for tensor in tensors], types, types)
        self._rule = rule

    def through(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors with the barrier as their history."""
        return [wrap(tensor._data, Edge(self, index)) for index, tensor in enumerate(tensors)]

    def gradient(self, grads: Sequence[Any], needs: tuple[bool, ...]) -> Sequence[Any]:
        """Apply the rule of the barrier to the gradients."""
        self._check_alive()
        return self._rule(tuple(grads))


class Context:
    """The argument of a gradient rule (``ops.Gradient``): a node, and which gradients the backward pass needs."""

    __slots__ = ("attributes", "input", "needs", "output", "output_types", "types")

    def __init__(self, node: GradientNode, needs: tuple[bool, ...]) -> None:
        self.needs = needs
        self.types = node.types
        self.output_types = node.output_types
        self.attributes = node.attributes
        self.input = node.input
        self.output = node.output
