"""The backward pass: gradients flow from outputs to leaves, through each node once, in reverse order of recording."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from weft.autograd.base import is_tensor
from weft.autograd.hooks import run_hooks
from weft.autograd.mode import grad_mode
from weft.autograd.node import Accumulator, Edge, GradientNode
from weft.autograd.operands import edge_of
from weft.errors import ArgumentTypeError, GradError, ShapeError, UnsupportedError, mistake
from weft.ops import OPS, OpSpec, TensorType, bind
from weft.ops.registry.interpreters import on_default_stack, without_modes
from weft.ops.registry.lazy_fronts import lazily_checked

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


@lazily_checked
def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of ``tensors`` to ``.grad`` of the leaves that they depend on (or of ``inputs`` only).

    A tensor of one element needs no ``grad_tensors``; others need one of their shape.

    >>> import weft as wf
    >>> x = wf.tensor([1.0, 2.0], requires_grad=True)
    >>> wf.autograd.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    """
    outputs, seeds = _roots("backward", tensors, grad_tensors, create_graph)
    chosen = None
    if inputs is not None:
        given = [inputs] if is_tensor(inputs) else list(inputs)
        chosen = {_edge("backward", "inputs", value): value for value in given}
    keep = create_graph if retain_graph is None else retain_graph
    gradients = flow(outputs, seeds, keep, create_graph, None if chosen is None else set(chosen))
    if chosen is not None:
        shared: set[int] = set()
        for edge, target in chosen.items():
            if edge in gradients:
                _accumulate(target, gradients[edge], create_graph, shared)


@lazily_checked
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of the sum of ``outputs`` with respect to ``inputs``, as ``torch.autograd.grad``.

    ``create_graph`` records the computation, for gradients of gradients. An input that no output depends on is an
    error, ``None`` with ``allow_unused``, zeros with ``materialize_grads``.

    >>> import weft as wf
    >>> x = wf.tensor(3.0, requires_grad=True)
    >>> (g,) = wf.autograd.grad(x**3, x, create_graph=True)
    >>> wf.autograd.grad(g, x)
    (tensor(18.),)
    """
    if not only_inputs or is_grads_batched:
        given = "only_inputs=False" if not only_inputs else "is_grads_batched=True"
        raise UnsupportedError(mistake("grad", "an argument", given, "the default", "use weft.func.vmap"))
    roots, seeds = _roots("grad", outputs, grad_outputs, create_graph)
    wanted = [inputs] if is_tensor(inputs) else list(inputs)
    edges = [_edge("grad", "inputs", tensor) for tensor in wanted]
    keep = create_graph if retain_graph is None else retain_graph
    gradients = flow(roots, seeds, keep, create_graph, set(edges))
    result: list[Tensor | None] = []
    for position, (edge, tensor) in enumerate(zip(edges, wanted, strict=True)):
        value = gradients.get(edge)
        if value is None and materialize_grads:
            value = _zeros(TensorType(tensor.shape, tensor.dtype), tensor)
        elif value is None and not allow_unused:
            raise GradError(
                mistake("grad", f"inputs[{position}]", "not used to compute the outputs", "part of their graph",
                        "pass allow_unused=True to get None")
            )  # fmt: skip
        result.append(value)
    return tuple(result)


def arriving(
    outputs: Sequence[Tensor], seeds: Sequence[Tensor], leaves: Sequence[Tensor]
) -> list[Tensor | None]:
    """Return the gradients that reach leaves, before the leaves' hooks; the saved tensors are freed."""
    edges = [_edge("compile", "leaves", leaf) for leaf in leaves]
    roots = [_edge("compile", "outputs", output) for output in outputs]
    gradients = flow(roots, seeds, False, False, set(edges), hooked_leaves=False)
    return [gradients.get(edge) for edge in edges]


def _roots(where: str, tensors: Any, grads: Any, create_graph: bool) -> tuple[list[Edge], list[Tensor]]:
    """Return the edges of the outputs and their gradients: as given, or 1 for an output of one element."""
    outputs = [tensors] if is_tensor(tensors) else list(tensors)
    seeds = [grads] * len(outputs) if grads is None or is_tensor(grads) else list(grads)
    if len(seeds) != len(outputs):
        raise ArgumentTypeError(
            mistake(where, "gradients", f"{len(seeds)} tensors", f"one for each of {len(outputs)}")
        )
    made = []
    for output, seed in zip(outputs, seeds, strict=True):
        if not is_tensor(output):
            raise ArgumentTypeError(mistake(where, "tensors", type(output).__name__, "Tensors"))
        if seed is None:
            if output.numel() != 1:
                raise GradError(
                    mistake(where, "the output", f"of shape {tuple(output.shape)}", "a scalar",
                            "reduce it, or pass a gradient of its shape")
                )  # fmt: skip
            seed = bind(OPS["full"], 1, shape=output.shape, dtype=output.dtype, device=str(output.device))
        elif not is_tensor(seed):
            raise ArgumentTypeError(mistake(where, "gradient", type(seed).__name__, "a Tensor"))
        elif tuple(seed.shape) != tuple(output.shape):
            raise ShapeError(
                mistake(where, "gradient's shape", tuple(seed.shape), f"{tuple(output.shape)}, the output's")
            )
        seed = seed if create_graph else seed.detach()
        made.append(seed.to(output.dtype))
    return [_edge(where, "tensors", output) for output in outputs], made


def _edge(where: str, argument: str, tensor: Any) -> Edge:
    """Return where a tensor came from; ``GradError`` where it does not require grad."""
    edge = edge_of(tensor)
    if edge is None:
        raise GradError(
            mistake(where, argument, "a tensor that does not require grad", "one that does",
                    "set requires_grad=True on it before the computation")
        )  # fmt: skip
    return edge


def _leading_to(roots: Sequence[Edge], wanted: set[Edge]) -> set[Any]:
    """Return the nodes from which a wanted edge is reached."""
    targets = {edge.node for edge in wanted}
    useful: set[Any] = set()
    visited: set[Any] = set()
    stack: list[tuple[Any, bool]] = [(edge.node, False) for edge in roots]
    while stack:
        node, done = stack.pop()
        if done:
            children = [edge.node for edge in node.edges if edge is not None]
            if any(child in useful or child in targets for child in children):
                useful.add(node)
        elif node not in visited and isinstance(node, GradientNode):
            visited.add(node)
            stack.append((node, True))
            stack.extend((edge.node, False) for edge in node.edges if edge is not None)
    return useful


class _Pending:
    """The queue of the backward pass: nodes with the gradients that reached them so far, in order of processing.

    Gradients that one rule computes together (``joint_gradient``) are collected until the node is taken.
    """

    __slots__ = ("_arrived", "_grads", "_heap", "_joint", "_owned")

    def __init__(self, create_graph: bool) -> None:
        self._grads: dict[Any, dict[int, Tensor]] = {}
        self._joint: dict[Any, dict[tuple[int, OpSpec], list[tuple[GradientNode, Tensor]]]] = {}
        self._heap: list[tuple[int, int, Any]] = []
        self._arrived = 0
        self._owned: set[int] | None = None if create_graph or not on_default_stack() else set()
        """The ids of sums that only this queue holds, to which further gradients are added in place."""

    def deliver(self, node: Any, output: int, value: Tensor) -> None:
        """Add a gradient to the sum of an output's gradients."""
        waiting = self._grads.get(node)
        if waiting is None:
            self._grads[node] = {output: value}
            self._push(node)
            return
        known = waiting.get(output)
        if known is None:
            waiting[output] = value
        elif self._owned is None:
            waiting[output] = bind(_ADD, known, value)
        elif id(known) in self._owned:
            bind(_ADD, known, value, into=(known,))
        else:
            waiting[output] = total = bind(_ADD, known, value)
            self._owned.add(id(total))

    def deliver_jointly(self, node: Any, output: int, value: Tensor, by: GradientNode) -> None:
        """Collect a gradient to which the joint rule of ``by``'s op is applied when the node is taken."""
        if node not in self._grads:
            self._grads[node] = {}
            self._push(node)
        self._joint.setdefault(node, {}).setdefault((output, by.op), []).append((by, value))

    def _push(self, node: Any) -> None:
        # leaves have equal sequence numbers: the order of arrival decides, so that equal programs have equal graphs
        heappush(self._heap, (-node.sequence, self._arrived, node))
        self._arrived += 1

    def take(self) -> tuple[Any, dict[int, Tensor]] | None:
        """Return the next node with the gradients of its outputs; ``None`` where the queue is empty."""
        if not self._heap:
            return None
        node = heappop(self._heap)[2]
        for (output, op), given in self._joint.pop(node, {}).items() if self._joint else ():
            assert op.joint_gradient is not None
            made = [(by.attributes, value) for by, value in given]
            self.deliver(node, output, op.joint_gradient(given[0][0].types[0], made))
        grads = self._grads.pop(node)
        if self._owned:
            self._owned.difference_update(map(id, grads.values()))  # gradient rules may keep them
        return node, grads


_ADD = OPS["add"]


def flow(
    roots: Sequence[Edge], seeds: Sequence[Tensor], keep: bool, create_graph: bool, wanted: set[Edge] | None,
    hooked_leaves: bool = True,
) -> dict[Edge, Tensor]:  # fmt: skip
    """Run the backward pass from ``seeds``, the gradients of ``roots``.

    Args:
        roots: The edges of the outputs.
        seeds: The gradients of the outputs.
        keep: Whether the nodes keep their saved tensors.
        create_graph: Whether the pass is recorded.
        wanted: The edges whose gradients are returned. Leaves accumulate where it is ``None``.
        hooked_leaves: Whether the hooks of leaves run.
    """
    useful = None if wanted is None else _leading_to(roots, wanted)
    pending = _Pending(create_graph)
    gradients: dict[Edge, Tensor] = {}
    shared = {id(seed._data.alias) for seed in seeds}
    with grad_mode(create_graph), without_modes():
        for edge, seed in zip(roots, seeds, strict=True):
            pending.deliver(edge.node, edge.output, seed)
        while (taken := pending.take()) is not None:
            node, grads = taken
            leaf = isinstance(node, Accumulator)
            hooked = node.hooks
            if hooked is not None and (hooked_leaves or not leaf):
                for index, hooks in hooked.items():
                    if index in grads and hooks:
                        grads[index] = run_hooks(hooks, grads[index])
                        shared.add(id(grads[index]._data.alias))  # the hook may hold it
            if wanted is not None:
                for index, value in grads.items():
                    if (node, index) in wanted:
                        gradients[Edge(node, index)] = value
            if leaf:
                if wanted is None:
                    _accumulate(node.leaf, grads[0], create_graph, shared)
            elif useful is None or node in useful:
                _process(node, grads, useful, wanted, pending)
                if not keep:
                    node.free()
    return gradients


def _process(
    node: GradientNode, grads: dict[int, Tensor], useful: Any, wanted: Any, pending: _Pending
) -> None:
    """Apply the gradient rule of a node, and deliver the results to the nodes of its operands."""
    if node.retains:
        for index, reference in node.retains.items():
            tensor = reference()
            if tensor is not None and index in grads:
                tensor._retained_grad(grads[index])
    types, edges = node.output_types, node.edges
    full: Sequence[Any] = (grads[0],) if len(types) == 1 else _completed(node, grads)
    if useful is None:
        needs = tuple([edge is not None for edge in edges])
    else:
        needs = tuple([edge is not None and (edge.node in useful or edge in wanted) for edge in edges])
    # nodes of derived classes have rules of their own
    if type(node) is GradientNode and node.op.joint_gradient is not None:
        edge = edges[0]
        if needs[0] and edge is not None:
            pending.deliver_jointly(edge.node, edge.output, full[0], node)
        return
    for edge, needed, value in zip(edges, needs, node.gradient(full, needs), strict=True):
        if needed and value is not None and edge is not None:
            pending.deliver(edge.node, edge.output, value)


def _completed(node: GradientNode, grads: dict[int, Tensor]) -> list[Any]:
    """Return the gradients of all outputs, with zeros or ``None`` for outputs that no gradient reached."""
    like = next(iter(grads.values()))
    return [
        grads[at] if at in grads else _zeros(kind, like) if node.differentiable(at) and node.materializes else None
        for at, kind in enumerate(node.output_types)
    ]  # fmt: skip


def _zeros(like: TensorType, where: Tensor) -> Tensor:
    zeros: Tensor = bind(OPS["full"], 0, shape=like.shape, dtype=like.dtype, device=str(where.device))
    return zeros


def _accumulate(leaf: Tensor, value: Tensor, create_graph: bool, shared: set[int]) -> None:
    """Add to a leaf's gradient, and run its post-accumulation hooks."""
    _add(leaf, value, create_graph, shared)
    hooks = getattr(leaf, "_hooks", None)
    if hooks is not None:
        for hook in list(hooks.after.values()):
            hook(leaf)


def _add(leaf: Tensor, value: Tensor, create_graph: bool, shared: set[int]) -> None:
    """Add to a leaf's gradient. The first gradient becomes ``.grad`` without a copy where its memory is not shared."""
    if leaf.grad is not None:
        if create_graph:
            leaf.grad = bind(OPS["add"], leaf.grad, value)
        else:
            bind(OPS["add"], leaf.grad, value, into=(leaf.grad,))
        return
    alias = id(value._data.alias)
    part = value._view is not None and value._view.base.numel() != value.numel()
    if alias in shared or part or not value.is_contiguous():
        value = bind(OPS["copy"], value)
        alias = id(value._data.alias)
    shared.add(alias)
    leaf.grad = value if create_graph else value.detach()
