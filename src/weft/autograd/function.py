"""``autograd.Function``: an operation whose gradient the user writes, as in PyTorch.

``forward`` runs unrecorded. One node of the tape stands for the whole call, and its gradient rule is ``backward``.
Operations in ``backward`` are recorded with ``create_graph=True``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from weft.autograd.mode import grad_mode, is_enabled
from weft.autograd.node import Edge, GradientNode, Saved, kept
from weft.autograd.operands import edge_of, type_of
from weft.dtypes import bool_
from weft.errors import ArgumentTypeError, GradError, ShapeError, UnsupportedError, mistake
from weft.ops import OPS, TensorType, bind
from weft.ops.registry.interpreters import transforming
from weft.tensors.tensor import Tensor


class FunctionCtx:
    """The context that ``forward`` and ``backward`` share: saved tensors, flags, and attributes that the user sets.

    ``needs_input_grad`` tells for each argument of ``forward`` whether its gradient is needed.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._to_save: tuple[Any, ...] = ()
        self._constants: tuple[Any, ...] = ()
        self._materialize = True
        self._node: FunctionNode | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Save tensors for ``backward``, as ``saved_tensors``; reading one after a change in place is an error."""
        for position, tensor in enumerate(tensors):
            if tensor is not None and not isinstance(tensor, Tensor):
                raise ArgumentTypeError(
                    mistake("save_for_backward", f"tensors[{position}]", type(tensor).__name__, "a Tensor or None",
                            "keep other values as attributes of ctx")
                )  # fmt: skip
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors given to ``save_for_backward``; ``GradError`` where one was changed or freed since."""
        return self._to_save if self._node is None else self._node.saved_tensors()

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Mark outputs of ``forward`` as having no gradient; ``backward`` is given zeros, or ``None``, for them."""
        self._constants = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Choose whether ``backward`` is given zeros (the default) or ``None`` for outputs without a gradient."""
        self._materialize = bool(value)

    def mark_dirty(self, *_: Tensor) -> None:
        """Raise ``UnsupportedError``: ``forward`` may not change its arguments."""
        raise UnsupportedError(
            "mark_dirty: forward may not change its arguments in place; return a new tensor"
        )


class FunctionNode(GradientNode):
    """The tape's node for one call of a ``Function``."""

    __slots__ = ("_constant", "_saved", "context", "function")

    def __init__(
        self, function: type[Function], ctx: FunctionCtx, edges: Sequence[Edge | None], arguments: Any
    ) -> None:
        nothing = TensorType((), bool_, True)
        types = tuple(
            type_of(argument) if isinstance(argument, Tensor) else nothing for argument in arguments
        )
        super().__init__(None, {}, edges, types, ())  # type: ignore[arg-type]
        self.function = function
        self.context = ctx
        self._constant: frozenset[int] = frozenset()
        self._saved: list[Any] = []

    @property
    def name(self) -> str:
        """The function's name, as PyTorch writes it."""
        return f"{self.function.__name__}Backward"

    @property
    def materializes(self) -> bool:
        """Whether missing gradients are replaced by zeros."""
        return self.context._materialize

    def differentiable(self, index: int) -> bool:
        """Return whether gradients flow through output ``index``."""
        return self.output_types[index].dtype.kind == "float" and index not in self._constant

    def finish(self, outputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        """Set the types of the outputs and the saved tensors, and make this node the history of the outputs.

        ``outputs`` are the tensors that ``forward`` returned, ``made`` the tensors that the caller gets.
        """
        self.output_types = tuple(type_of(output) for output in outputs)
        constants = {id(constant) for constant in self.context._constants}
        self._constant = frozenset(at for at, output in enumerate(outputs) if id(output) in constants)
        places = {id(output): at for at, output in enumerate(outputs)}
        for tensor in self.context._to_save:
            if tensor is None:
                self._saved.append(None)
                continue
            at = places.get(id(tensor))
            edge = edge_of(tensor) if at is None else None
            self._saved.append((kept(Saved(tensor._data, tensor._data.version, edge, at is not None)), at))
        self.context._to_save = ()
        self.context._constants = ()
        self.context._node = self
        for at, output in enumerate(made):
            if self.differentiable(at):
                output._edge = Edge(self, at)

    def saved_tensors(self) -> tuple[Any, ...]:
        """Return the saved tensors as they were; outputs have this node as their history."""
        self._check_alive()
        return tuple(None if entry is None else self._restored(*entry) for entry in self._saved)

    def _restored(self, saved: Saved, at: int | None) -> Tensor:
        output_edge = Edge(self, at) if at is not None and self.differentiable(at) else None
        return self._unpack(saved, output_edge if at is not None else saved.edge)

    def free(self) -> None:
        """Free the saved tensors."""
        super().free()
        self._saved.clear()

    def gradient(self, grads: Sequence[Any], needs: tuple[bool, ...]) -> Sequence[Any]:
        """Call the user's ``backward``; return one gradient or ``None`` for each argument of ``forward``, checked."""
        self._check_alive()
        where = f"{self.function.__name__}.backward"
        self.context.needs_input_grad = needs
        given = self.function.backward(self.context, *self._materialized(grads))
        results = given if isinstance(given, tuple) else (given,)
        while len(results) > len(needs) and results[-1] is None:
            results = results[:-1]
        if len(results) != len(needs):
            raise GradError(
                mistake(
                    where,
                    "the result",
                    f"{len(results)} gradients",
                    f"{len(needs)}, one for each argument of forward",
                )
            )
        return [
            self._checked(where, position, value) if needed else None
            for position, (value, needed) in enumerate(zip(results, needs, strict=True))
        ]

    def _materialized(self, grads: Sequence[Any]) -> list[Any]:
        """Return the gradients with zeros for outputs without one, as PyTorch does, unless ``materializes`` is off."""
        if not self.materializes:
            return list(grads)
        device = next(str(grad.device) for grad in grads if grad is not None)
        return [
            bind(OPS["full"], 0, shape=type_.shape, dtype=type_.dtype, device=device)
            if grad is None
            else grad
            for grad, type_ in zip(grads, self.output_types, strict=True)
        ]

    def _checked(self, where: str, position: int, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, Tensor):
            raise GradError(mistake(where, f"gradient {position}", type(value).__name__, "a Tensor or None"))
        expected = self.types[position]
        if tuple(value.shape) != expected.shape:
            raise ShapeError(
                mistake(where, f"gradient {position}", f"of shape {tuple(value.shape)}",
                        f"{expected.shape}, the shape of argument {position}")
            )  # fmt: skip
        return value if value.dtype is expected.dtype else value.to(expected.dtype)


class Function:
    """The base class of operations with a gradient of their own: write ``forward`` and ``backward``, call ``apply``.

    ``forward(ctx, *args)`` (or ``forward(*args)`` with ``setup_context(ctx, inputs, output)``) returns a tensor or a
    tuple of tensors. ``backward(ctx, *grads)`` is given one gradient for each output, and returns one
    for each argument, or ``None``. As ``torch.autograd.Function``.

    >>> import weft as wf
    >>> class Double(wf.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         return grad * 2
    >>> x = wf.ones(2, device="cpu", requires_grad=True)
    >>> Double.apply(x).sum().backward()
    >>> x.grad
    tensor([2., 2.])
    """

    def __init__(self) -> None:
        raise ArgumentTypeError(
            f"{type(self).__name__} is not instantiated; call {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs."""
        raise UnsupportedError("Function: forward is missing, expected a static method of the derived class")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what ``backward`` needs, where ``forward`` takes no ``ctx``."""

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        """Compute the gradients of the arguments from those of the outputs."""
        raise UnsupportedError("Function: backward is missing, expected a static method of the derived class")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run ``forward``, and record the call where an argument requires grad."""
        if transforming():
            cls._check_transforms(args)
        recording = is_enabled()
        edges = [edge_of(argument) if recording else None for argument in args]
        ctx = FunctionCtx(tuple(edge is not None for edge in edges))
        versions = [argument._data.version if isinstance(argument, Tensor) else 0 for argument in args]
        with grad_mode(False):
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        outputs = result if isinstance(result, tuple) else (result,)
        cls._check(args, versions, outputs)
        arguments = {id(argument) for argument in args}
        # an argument that forward returns as it is becomes a new tensor: its history differs from the argument's
        made = tuple(
            Tensor.wrap(output._data) if id(output) in arguments or any(edges) else output
            for output in outputs
        )
        if any(edges):
            FunctionNode(cls, ctx, edges, args).finish(outputs, made)
        return made if isinstance(result, tuple) else made[0]

    @classmethod
    def _check_transforms(cls, args: Sequence[Any]) -> None:
        """Raise ``UnsupportedError`` where another than the innermost transform differentiates an argument.

        ``forward`` runs unrecorded, so that only the innermost transform uses ``backward``.
        """
        for position, argument in enumerate(args):
            if not isinstance(argument, Tensor):
                continue
            differentiated = getattr(argument._data, "differentiated", None)
            if argument.requires_grad if differentiated is None else differentiated():
                raise UnsupportedError(
                    f"{cls.__name__}.apply: argument {position} is differentiated by another transform of functions "
                    f"than the innermost, or in forward mode, where the backward of a Function is not known; write it "
                    f"with operations on tensors"
                )

    @classmethod
    def _check(cls, args: Sequence[Any], versions: Sequence[int], outputs: Sequence[Any]) -> None:
        for position, output in enumerate(outputs):
            if not isinstance(output, Tensor):
                raise ArgumentTypeError(
                    mistake(
                        f"{cls.__name__}.forward", f"output {position}", type(output).__name__, "a Tensor"
                    )
                )
        for position, (argument, version) in enumerate(zip(args, versions, strict=True)):
            if isinstance(argument, Tensor) and argument._data.version != version:
                raise GradError(
                    f"{cls.__name__}.forward: argument {position} was changed in place, expected to be as it was; "
                    f"work on a clone()"
                )


class _Once(Function):
    """An identity on the results of a ``once_differentiable`` backward, whose gradient is an error."""

    @staticmethod
    def forward(ctx: FunctionCtx, name: str, count: int, *values: Any) -> Any:
        ctx.name = name  # type: ignore[attr-defined]
        return tuple(values[:count])

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Any) -> Any:
        name: str = ctx.name  # type: ignore[attr-defined]
        raise GradError(
            f"{name}: its backward is marked once_differentiable and is differentiated a second time; "
            f"write it with operations on tensors and drop the mark"
        )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a ``backward`` that has no gradient itself: it runs unrecorded, and differentiating it is an error."""

    @functools.wraps(backward)
    def once(ctx: FunctionCtx, *grads: Any) -> Any:
        with grad_mode(False):
            given = backward(ctx, *grads)
        if not is_enabled() or not any(edge_of(grad) for grad in grads):
            return given
        results = given if isinstance(given, tuple) else (given,)
        tensors = [result for result in results if isinstance(result, Tensor)]
        replaced = iter(_Once.apply(backward.__qualname__, len(tensors), *tensors, *grads))
        marked = tuple(next(replaced) if isinstance(result, Tensor) else result for result in results)
        return marked if isinstance(given, tuple) else marked[0]

    return once
