"""``trace(fn, *args)``: run a program once with traced tensors, and keep what it did as a graph.

Tensors that the program reaches by closure (parameters, optimizer state, the random generators' counters) become
states of the graph, keyed by storage; ``Traced`` reads them when it runs and writes back what changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weft.autograd.mode import no_grad
from weft.autograd.tape import Tape
from weft.compiler.tree import Rebuild, flatten
from weft.errors import ArgumentError, WeftError, mistake
from weft.graph import Abstract, AbstractValue, Graph, Tracing, interpret
from weft.graph.tracing import failing_site
from weft.ops import OPS, Geometry, TensorType, bind, interpreting
from weft.random.generator import all_generators
from weft.tensors.array import Array
from weft.tensors.tensor import Tensor, keeping_grads


@dataclass(frozen=True)
class Traced:
    """A traced program: its graph, the arrays behind its states, and the shape of its results."""

    graph: Graph
    states: tuple[Tensor, ...]
    rebuild: Rebuild

    def __call__(self, *args: Any) -> Any:
        """Interpret the graph node by node on new arguments of the same types, and write the states back."""
        given = [leaf for leaf in flatten(args)[0] if isinstance(leaf, Tensor)]
        for position, (value, var) in enumerate(zip(given, self.graph.inputs, strict=False)):
            if (value.shape, value.dtype) != (var.type.shape, var.type.dtype):
                found = TensorType(value.shape, value.dtype)
                raise ArgumentError(
                    mistake("traced function", f"tensor {position}", repr(found), repr(var.type))
                )
        with no_grad():
            for generator in all_generators():
                generator.fold()
            # a contiguous value for each: the graph's views count from the first element
            inputs = [value.detach().contiguous() for value in given]
            outputs, finals = interpret(self.graph, inputs, self.states)
            results = [bind(OPS["copy"], one) if isinstance(one, Tensor) else one for one in outputs]
            changed = [
                (state, final.clone() if final._data.alias in _aliases(self.states) else final)
                for state, final, own in zip(self.states, finals, self.graph.states, strict=True)
                if own.changed
            ]
            for state, final in changed:
                state.copy_(final)
        return self.rebuild(results)


def _aliases(tensors: tuple[Tensor, ...]) -> set[Any]:
    return {tensor._data.alias for tensor in tensors}


def trace(fn: Callable[..., Any], *args: Any) -> Traced:
    """The graph of ``fn`` for arguments like these; nothing is computed and no tensor changes.

    Arguments and results are trees of tensors; numbers in the arguments are constants. An op that fails raises as
    when run, with the user's file and line.

    >>> import weft as wf
    >>> w = wf.ones(3)
    >>> traced = wf.compiler.trace(lambda x: (x * w).sum(), wf.ones(3))
    >>> [node.op for node in traced.graph.nodes]
    ['mul', 'sum']
    >>> traced(wf.tensor([1.0, 2.0, 3.0]))
    tensor(6.)
    """
    leaves, rebuild_args = flatten(args)
    for generator in all_generators():
        generator.fold()
    tracing = Tracing()
    with interpreting(tracing, Tape()), keeping_grads():
        traced = []
        for leaf in leaves:
            if isinstance(leaf, Tensor):
                value = Tensor.wrap(tracing.input(leaf.shape, leaf.dtype, str(leaf.device)))
                leaf = value.requires_grad_(leaf.requires_grad)
            traced.append(leaf)
        try:
            result = fn(*rebuild_args(traced))
        except WeftError as error:
            raise type(error)(f"{error} (at {failing_site(error)})") from error
        finally:
            taken = [(generator, generator.give_back()) for generator in all_generators()]
        for generator, count in taken:
            if count:
                state = generator.state()
                bind(OPS["random_advance"], state, count & 0xFFFFFFFF, count >> 32, into=(state,))
        results, rebuild = flatten(result)
        tensors = [one for one in results if isinstance(one, Tensor)]
        found = iter(tracing.outputs([one._data for one in tensors]))
    outputs = tuple(next(found) if isinstance(one, Tensor) else one for one in results)
    graph = tracing.graph([one for one, own in zip(outputs, results, strict=True) if isinstance(own, Tensor)])
    fixed = [None if isinstance(own, Tensor) else own for own in results]

    def fill(values: list[Any]) -> Any:
        source = iter(values)
        return rebuild(
            [
                next(source) if isinstance(own, Tensor) else one
                for own, one in zip(results, fixed, strict=True)
            ]
        )

    states = tuple(
        _whole(array, state.initial.type)
        for array, state in zip(tracing.captured(), graph.states, strict=True)
    )
    return Traced(graph, states, fill)


def _whole(array: Array, type_: TensorType) -> Tensor:
    """A tensor on all of an array's storage, in the geometry of the state's type."""
    geometry = Geometry.contiguous(type_.shape)
    return Tensor.wrap(Array(array.storage, array.dtype, geometry.shape, geometry.strides, 0))


def eval_shape(fn: Callable[..., Any], *args: Any) -> Any:
    """The types of the results of ``fn`` for arguments like these, without computing or allocating anything.

    Arguments may be tensors or ``TensorType``; results are ``TensorType`` in the places of tensors.

    >>> import weft as wf
    >>> wf.compiler.eval_shape(lambda x: x @ x.T, wf.ops.TensorType((1000000, 2), wf.float32))
    float32[1000000, 1000000]
    """
    leaves, rebuild = flatten(args)
    with interpreting(Abstract(), Tape()), no_grad():
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
        [TensorType(one.shape, one.dtype) if isinstance(one, Tensor) else one for one in results]
    )
