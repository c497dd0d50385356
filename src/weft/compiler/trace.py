"""``trace(fn, *args)``: run a function once with traced tensors, and record its operations as a graph.

Tensors that the function reaches by closure (parameters, optimizer state, the counters of random generators) become
states of the graph, one for each storage. ``Traced`` reads them when it runs and writes the changed states back.
``record`` additionally records the guards, gradients and captures that ``jit`` needs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from weft.autograd.mode import no_grad
from weft.autograd.node import keeper
from weft.autograd.tape import Tape
from weft.compiler.captures import collecting
from weft.compiler.derive import Derived, differentiate
from weft.compiler.escape import refuse_escaped, refuse_kept
from weft.compiler.execute import run_interpreted
from weft.compiler.guards import Notes
from weft.compiler.reached import device_name_of_call
from weft.errors import ArgumentError, WeftError, mistake
from weft.graph import Abstract, AbstractValue, Graph, Tracing
from weft.graph.tracing import failing_site
from weft.nn.module import Module
from weft.ops import OPS, Geometry, TensorType, bind, interpreting
from weft.ops.pointwise.masked import Selection, refuse
from weft.ops.registry.interpreters import modes
from weft.random.generator import Generator, all_generators, is_default
from weft.tensors.array import Array
from weft.tensors.gradients import keeping_grads
from weft.tensors.tensor import Tensor
from weft.tensors.watch import Retrace, watcher
from weft.utils.tree import Rebuild, flatten

LOG = logging.getLogger("weft.compiler")

Enter = Callable[[Tracing, int, Any], Any]
"""Returns the traced value of an argument leaf, from the trace, the leaf's position and the leaf."""


@dataclass(frozen=True)
class Recording:
    """A traced call. The graph's outputs are the results' tensors, then the captures, then the gradients."""

    graph: Graph
    states: tuple[Array, ...]
    """The array behind each state, in the geometry of the state's type."""
    notes: Notes
    fill: Rebuild
    """Builds the function's result from the values of its tensors."""
    results: int
    captures: tuple[str, ...]
    grads: tuple[tuple[Tensor, Tensor | None], ...]
    """Tensors whose ``grad`` the function read, each with its ``grad`` before the trace."""
    new_grads: tuple[tuple[Tensor, bool], ...]
    """Tensors whose ``grad`` changed; True where the new ``grad`` is an output, False where it is None."""
    generators: tuple[tuple[Generator, Tensor], ...]
    derived: Derived | None = None
    """The gradients of the results, which are the graph's last outputs; ``None`` where not asked for or none exist."""


def record(
    name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], enter: Enter,
    keep_grads: bool = False, capturing: bool = False, deriving: bool = False,
) -> Recording:  # fmt: skip
    """Trace a call. Nothing is computed, and the tensors and objects that the function writes are restored.

    Args:
        name: the function's name, for errors.
        fn: the function.
        args: the positional arguments of the call.
        kwargs: the keyword arguments of the call.
        enter: returns the traced value of an argument leaf.
        keep_grads: also return gradients for leaves that had none before.
        capturing: record the tensors that ``weft.capture`` marks.
        deriving: also trace the gradients of the results, for seeds that become the graph's last inputs.
    """
    while True:
        try:
            return _record_once(name, fn, args, kwargs, enter, keep_grads, capturing, deriving)
        except Retrace:
            continue


def _record_once(
    name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], enter: Enter,
    keep_grads: bool, capturing: bool, deriving: bool,
) -> Recording:  # fmt: skip
    for generator in all_generators():
        generator.fold()
    tracing, notes = Tracing(), Notes()
    try:
        recording = _recorded(tracing, notes, fn, (args, kwargs), enter, keep_grads, capturing, deriving)
        refuse_escaped(name, tracing.made)
    except BaseException:
        notes.reads.restore()  # undo the function's writes to Python objects
        raise
    refuse_kept(name, notes.written_constants(tracing.written()))
    changed = notes.reads.settled()[1]
    if changed:
        LOG.warning(
            "%s: the function changes %s, which happens only when it is traced and not at each call; return the new "
            "value, or keep it in a tensor", name, ", ".join(changed),
        )  # fmt: skip
    return recording


def _recorded(
    tracing: Tracing, notes: Notes, fn: Callable[..., Any], call: Any, enter: Enter, keep_grads: bool,
    capturing: bool, deriving: bool,
) -> Recording:  # fmt: skip
    with keeping_grads() as grads, _watched_by(notes), interpreting(tracing, notes, *modes()):
        try:
            notes.reads.follow(fn)
            recording = _record(tracing, notes, grads, fn, call, enter, keep_grads, capturing, deriving)
        except WeftError as error:
            raise type(error)(f"{error} (at {failing_site(error)})") from error
        finally:
            notes.reads.end()
            for generator in all_generators():
                generator.give_back()
            tracing.restore_versions()
            notes.restore_histories()
    grads.clear()
    return recording


@contextmanager
def _watched_by(notes: Notes) -> Iterator[None]:
    # a checkpoint around the call keeps what the call saves
    token, keeping = (
        watcher.set(notes),
        keeper.set(None),
    )
    try:
        yield
    finally:
        watcher.reset(token)
        keeper.reset(keeping)


def _record(
    tracing: Tracing, notes: Notes, grads: dict[int, tuple[Tensor, Tensor | None]], fn: Callable[..., Any], call: Any,
    enter: Enter, keep_grads: bool, capturing: bool, deriving: bool,
) -> Recording:  # fmt: skip
    known = set(map(id, all_generators()))
    leaves, rebuild_call = flatten(call)
    captures: dict[str, Tensor] = {}
    token = collecting.set(captures if capturing else None)
    try:
        entered = [enter(tracing, position, leaf) for position, leaf in enumerate(leaves)]
        args, kwargs = rebuild_call(entered)
        owner = getattr(fn, "__self__", None)
        if isinstance(owner, Module):  # a method is called without the module's __call__, which would note it
            notes.entered(owner)
        result = fn(*args, **kwargs)
    finally:
        collecting.reset(token)
    parts, rebuild = flatten(result)
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if any(isinstance(part, Selection) for part in parts):
        refuse("x[mask]")
    derived, further = differentiate(tracing, notes, entered, tensors) if deriving else (None, [])
    generators = _advanced_generators(tracing, notes, known)
    looked_at = tuple([(leaf, before) for leaf, before in grads.values() if type(leaf._data) is Array])
    changed = [(leaf, leaf._grad) for leaf, before in looked_at
               if leaf._grad is not before and (keep_grads or before is not None)]  # fmt: skip
    made = [grad for _, grad in changed if grad is not None]
    outputs = tracing.outputs([tensor._data for tensor in (*tensors, *captures.values(), *made, *further)])
    graph = tracing.graph(outputs, notes.constants)
    pairs = zip(tracing.captured(), graph.states, strict=True)
    states = tuple([_whole(array, state.initial.type) for array, state in pairs])
    new_grads = tuple((leaf, grad is not None) for leaf, grad in changed)
    return Recording(
        graph, states, notes, _filler(parts, rebuild), len(tensors), tuple(captures), looked_at, new_grads,
        tuple(generators), derived,
    )  # fmt: skip


def _advanced_generators(tracing: Tracing, notes: Notes, known: set[int]) -> list[tuple[Generator, Tensor]]:
    """Record the advance of each generator that the trace has drawn from; return the generators with their states.

    ``known`` are the ids of the generators that existed before the trace.
    """
    generators = []
    for generator in all_generators():
        count, state = generator.give_back(), generator.standing()[0]
        # drawn in the function itself, or in the body of a loop or a branch
        moved = count or state is not None and tracing.writes(state._data)
        if moved and (id(generator) in known or is_default(generator)):
            state = generator.state()
            if count:
                bind(OPS["random_advance"], state, count & 0xFFFFFFFF, count >> 32, into=(state,))
            generators.append((generator, state))
            notes.constants.discard(id(state._data.alias))
    return generators


def _filler(parts: list[Any], rebuild: Rebuild) -> Rebuild:
    """Return a function that builds a result from its leaves, with the tensors among them replaced by values."""
    is_tensor = [isinstance(part, Tensor) for part in parts]
    fixed = [None if tensor else part for part, tensor in zip(parts, is_tensor, strict=True)]

    def fill(values: list[Any]) -> Any:
        source = iter(values)
        return rebuild(
            [next(source) if tensor else part for part, tensor in zip(fixed, is_tensor, strict=True)]
        )

    return fill


@dataclass(frozen=True)
class Traced:
    """A traced function: its graph, the tensors of its states, and the tree of its results.

    >>> import weft as wf
    >>> count = wf.zeros(1, device="cpu")
    >>> traced = wf.compiler.trace(lambda x: x + count.add_(1), wf.ones(1, device="cpu"))
    >>> traced(wf.ones(1, device="cpu")), traced(wf.ones(1, device="cpu")), len(traced.states)
    (tensor([2.]), tensor([3.]), 1)
    """

    graph: Graph
    states: tuple[Tensor, ...]
    rebuild: Rebuild
    effects: tuple[Callable[[], None], ...] = ()
    """Python functions that are called after each run."""

    def __call__(self, *args: Any) -> Any:
        """Interpret the graph node by node on new arguments of the same types, and write the states back."""
        given = [leaf for leaf in flatten(args)[0] if isinstance(leaf, Tensor)]
        for position, (value, var) in enumerate(zip(given, self.graph.inputs, strict=False)):
            if (value.shape, value.dtype) != (var.type.shape, var.type.dtype):
                found = TensorType(value.shape, value.dtype)
                raise ArgumentError(
                    mistake("traced function", f"tensor {position}", repr(found), repr(var.type))
                )
        for generator in all_generators():
            generator.fold()
        with no_grad():
            # the graph's views assume contiguous inputs
            inputs = [value.detach().contiguous() for value in given]
        results = run_interpreted(self.graph, inputs, self.states)
        for effect in self.effects:
            effect()
        return self.rebuild(results)


def trace(fn: Callable[..., Any], *args: Any) -> Traced:
    """Return the graph of ``fn`` for arguments like these; nothing is computed and no tensor changes.

    Arguments and results are trees of tensors; Python numbers among the arguments are constants of the graph. A
    ``TensorType`` stands for a tensor on the device of the other arguments, else of a tensor that ``fn`` reaches, else
    on ``cpu``; no device is opened and no memory is allocated. An op that fails raises the same error as in eager mode,
    with the user's file and line.

    >>> import weft as wf
    >>> w = wf.ones(3)
    >>> traced = wf.compiler.trace(lambda x: (x * w).sum(), wf.ones(3))
    >>> [node.op for node in traced.graph.nodes]
    ['mul', 'sum']
    >>> traced(wf.tensor([1.0, 2.0, 3.0]))
    tensor(6.)
    >>> wf.compiler.trace(lambda x: x @ x.T, wf.ops.TensorType((1000000, 2), wf.float32)).graph.outputs[0].type
    float32[1000000, 1000000]
    """
    device = device_name_of_call(fn, flatten(args)[0])

    def enter(tracing: Tracing, position: int, leaf: Any) -> Any:
        if isinstance(leaf, TensorType):
            return Tensor.wrap(tracing.input(leaf.shape, leaf.dtype, device))
        if not isinstance(leaf, Tensor):
            return leaf
        value = Tensor.wrap(tracing.input(leaf.shape, leaf.dtype, str(leaf.device)))
        return value.requires_grad_(leaf.requires_grad)

    found = record(getattr(fn, "__name__", "trace"), fn, args, {}, enter)
    states = tuple([Tensor.wrap(array) for array in found.states])
    results = found.results  # the outputs behind are gradients, which a trace does not set
    graph = Graph(found.graph.inputs, found.graph.states, found.graph.nodes, found.graph.outputs[:results])
    return Traced(graph, states, found.fill, tuple(found.notes.effects))


def _whole(array: Array, type_: TensorType) -> Array:
    """Return an array over the whole storage of another, in the geometry of the state's type."""
    geometry = Geometry.contiguous(type_.shape)
    return Array(array.storage, array.dtype, geometry.shape, geometry.strides, 0)


def eval_shape(fn: Callable[..., Any], *args: Any) -> Any:
    """Return the result types of ``fn`` for arguments like these; nothing is computed or allocated.

    Arguments are trees of tensors or ``TensorType``. The result is the tree of the function's result with a
    ``TensorType`` for each tensor. As ``jax.eval_shape``.

    >>> import weft as wf
    >>> wf.compiler.eval_shape(lambda x: x @ x.T, wf.ops.TensorType((1000000, 2), wf.float32))
    float32[1000000, 1000000]
    """
    while True:
        try:
            return _eval_shape_once(fn, args)
        except Retrace:
            continue


def _eval_shape_once(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    leaves, rebuild = flatten(args)
    with interpreting(Abstract(), Tape(), *modes()), no_grad():
        given = [
            Tensor.wrap(
                AbstractValue(
                    leaf.dtype,
                    Geometry.contiguous(leaf.shape),
                    "cpu" if isinstance(leaf, TensorType) else str(leaf.device),
                )
            )
            if isinstance(leaf, Tensor | TensorType)
            else leaf
            for leaf in leaves
        ]
        results, rebuild_result = flatten(fn(*rebuild(given)))
    return rebuild_result(
        [
            TensorType(result.shape, result.dtype) if isinstance(result, Tensor) else result
            for result in results
        ]
    )
