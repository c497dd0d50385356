"""``autograd.Function``: an operation with a gradient of its own, written by the user as in PyTorch.

``forward`` runs with nothing recorded; one node stands for all of it, and ``backward`` is what flows through that
node. Operations in ``backward`` are recorded where gradients of gradients are asked for.
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
    """What ``forward`` leaves for ``backward``: saved tensors, flags, and any attributes of the user's own.

    ``needs_input_grad`` tells for each argument of ``forward`` whether a gradient is wanted.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._to_save: tuple[Any, ...] = ()
        self._constants: tuple[Any, ...] = ()
        self._materialize = True
        self._node: FunctionNode | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``backward``, as ``saved_tensors``; an in-place change of one is an error there."""
        for position, one in enumerate(tensors):
            if one is not None and not isinstance(one, Tensor):
                raise ArgumentTypeError(
                    mistake("save_for_backward", f"tensors[{position}]", type(one).__name__, "a Tensor or None",
                            "keep other values as attributes of ctx")
                )  # fmt: skip
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What ``save_for_backward`` kept, in its order; ``GradError`` where it was changed, or freed, since."""
        return self._to_save if self._node is None else self._node.saved_tensors()

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Say which outputs of ``forward`` have no gradient; ``backward`` gets zeros, or ``None``, for them."""
        self._constants = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros (the default) or ``None`` for outputs that no gradient reached."""
        self._materialize = bool(value)

    def mark_dirty(self, *_: Tensor) -> None:
        """Not there: ``forward`` may not change its arguments."""
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
        """Whether missing gradients come as zeros."""
        return self.context._materialize

    def differentiable(self, index: int) -> bool:
        """Whether gradients flow through output ``index``."""
        return self.output_types[index].dtype.kind == "float" and index not in self._constant

    def finish(self, outputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        """Take the outputs (as ``forward`` gave them, and as the caller gets them) and what is to be saved."""
        self.output_types = tuple(type_of(output) for output in outputs)
        constants = {id(constant) for constant in self.context._constants}
        self._constant = frozenset(at for at, one in enumerate(outputs) if id(one) in constants)
        places = {id(one): at for at, one in enumerate(outputs)}
        for one in self.context._to_save:
            if one is None:
                self._saved.append(None)
                continue
            at = places.get(id(one))
            edge = edge_of(one) if at is None else None
            self._saved.append((kept(Saved(one._data, one._data.version, edge, at is not None)), at))
        self.context._to_save = ()
        self.context._constants = ()
        self.context._node = self
        for at, one in enumerate(made):
            if self.differentiable(at):
                one._edge = Edge(self, at)

    def saved_tensors(self) -> tuple[Any, ...]:
        """The saved tensors as they were, outputs with this node as their history."""
        self._check_alive()
        return tuple(None if one is None else self._restored(*one) for one in self._saved)

    def _restored(self, saved: Saved, at: int | None) -> Tensor:
        own = Edge(self, at) if at is not None and self.differentiable(at) else None
        return self._unpack(saved, own if at is not None else saved.edge)

    def free(self) -> None:
        """Let go of the saved tensors."""
        super().free()
        self._saved.clear()

    def gradient(self, grads: Sequence[Any], needs: tuple[bool, ...]) -> Sequence[Any]:
        """What the user's ``backward`` gives, checked: one gradient or ``None`` for each argument of ``forward``."""
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
        """Zeros for outputs without a gradient too, as PyTorch gives, unless the function wants to see ``None``."""
        if not self.materializes:
            return list(grads)
        device = next(str(grad.device) for grad in grads if grad is not None)
        return [
            bind(OPS["full"], 0, shape=given.shape, dtype=given.dtype, device=device) if one is None else one
            for one, given in zip(grads, self.output_types, strict=True)
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
    """An operation with its own gradient: derive from it, write ``forward`` and ``backward``, call ``apply``.

    ``forward(ctx, *args)`` (or ``forward(*args)`` with ``setup_context(ctx, inputs, output)``) gives a tensor or a
    tuple of them; ``backward(ctx, *grads)`` gets one gradient for each output, and gives one for each argument,
    ``None`` where there is none. As ``torch.autograd.Function``.

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
        """Compute the arguments' gradients from the outputs'."""
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
        # an argument that is handed through gets a handle of its own: its history is another than the argument's
        made = tuple(
            Tensor.wrap(output._data) if id(output) in arguments or any(edges) else output
            for output in outputs
        )
        if any(edges):
            FunctionNode(cls, ctx, edges, args).finish(outputs, made)
        return made if isinstance(result, tuple) else made[0]

    @classmethod
    def _check_transforms(cls, args: Sequence[Any]) -> None:
        """``forward`` runs unrecorded: only the innermost transform knows of ``backward``, so no other may need it."""
        for position, one in enumerate(args):
            if not isinstance(one, Tensor):
                continue
            differentiated = getattr(one._data, "differentiated", None)
            if one.requires_grad if differentiated is None else differentiated():
                raise UnsupportedError(
                    f"{cls.__name__}.apply: argument {position} is differentiated by another transform of functions "
                    f"than the innermost, or in forward mode, where the backward of a Function is not known; write it "
                    f"with operations on tensors"
                )

    @classmethod
    def _check(cls, args: Sequence[Any], versions: Sequence[int], outputs: Sequence[Any]) -> None:
        for position, one in enumerate(outputs):
            if not isinstance(one, Tensor):
                raise ArgumentTypeError(
                    mistake(f"{cls.__name__}.forward", f"output {position}", type(one).__name__, "a Tensor")
                )
        for position, (one, version) in enumerate(zip(args, versions, strict=True)):
            if isinstance(one, Tensor) and one._data.version != version:
                raise GradError(
                    f"{cls.__name__}.forward: argument {position} was changed in place, expected to be as it was; "
                    f"work on a clone()"
                )


class _Once(Function):
    """What a ``once_differentiable`` backward gave: the values, and an error for who differentiates them."""

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
    """Mark a ``backward`` whose own gradient is not there: it runs unrecorded, and differentiating it is an error."""

    @functools.wraps(backward)
    def once(ctx: FunctionCtx, *grads: Any) -> Any:
        with grad_mode(False):
            given = backward(ctx, *grads)
        if not is_enabled() or not any(edge_of(grad) for grad in grads):
            return given
        results = given if isinstance(given, tuple) else (given,)
        tensors = [result for result in results if isinstance(result, Tensor)]
        kept = iter(_Once.apply(backward.__qualname__, len(tensors), *tensors, *grads))
        marked = tuple(next(kept) if isinstance(result, Tensor) else result for result in results)
        return marked if isinstance(given, tuple) else marked[0]

    return once
