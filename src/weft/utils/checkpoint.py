"""``checkpoint``: activation recomputation. The backward pass computes the saved tensors of a function again.

In the first run the nodes of the tape save a ``Promise`` in place of each tensor. The first gradient rule that reads a
promise runs the function a second time, which fulfils all promises. The graph of gradients is the ordinary one, so
``autograd.grad``, gradients of gradients and nested checkpoints work. In a compiled function the second run follows a
``barrier``, so that common subexpression elimination does not merge it with the first run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any
from weakref import ref

from weft.autograd.mode import grad_mode, is_enabled
from weft.autograd.node import Barrier, Keeper, Saved, keeper
from weft.autograd.operands import edge_of
from weft.errors import ArgumentError, GradError, UnsupportedError, mistake
from weft.ops import OPS, bind, interpreter_stack, interpreting
from weft.ops.registry.interpreters import modes, transforming
from weft.random.generator import Generator, all_generators
from weft.tensors.tensor import Tensor
from weft.tensors.watch import tracing

Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]


def noop_context_fn() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Return empty contexts for the first and the second run."""
    return nullcontext(), nullcontext()


class Promise:
    """A saved tensor that is computed again when it is read; it has the attributes of ``Saved``."""

    __slots__ = ("__weakref__", "_saved", "edge", "frame", "itself", "kind")

    def __init__(self, frame: Frame, saved: Saved) -> None:
        self.frame = frame
        self.edge = saved.edge
        self.itself = saved.itself
        self.kind = (tuple(saved.data.shape), saved.data.dtype)
        self._saved: Saved | None = None

    def fulfil(self, saved: Saved) -> None:
        """Set the value, computed by the second run."""
        self._saved = saved

    def _value(self) -> Saved:
        if self._saved is None:
            self.frame.recompute()
        if self._saved is None:
            raise GradError("checkpoint: the second run did not give a value that the first one did; its function "
                            "must do the same each time")  # fmt: skip
        return self._saved

    @property
    def data(self) -> Any:
        """The tensor's data."""
        return self._value().data

    @property
    def version(self) -> int:
        """The version of the data after the second run."""
        return self._value().version


class Frame:
    """A call of ``checkpoint``: the function with its arguments and random state, and the promises to fulfil."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        context: Any,
        check: bool,
    ) -> None:
        self.function, self.kwargs, self.context, self.check = function, kwargs, context, check
        outer = keeper.get()
        self.args = [self._saved_argument(argument, outer) for argument in args]
        self.random: list[tuple[Generator, Tensor, int]] = []
        self.promises: list[ref[Promise]] = []
        self.modes = modes()
        self.gradients: list[Tensor] = []
        self._start = 0

    def _saved_argument(self, value: Any, outer: Keeper | None) -> Any:
        if not isinstance(value, Tensor):
            return value
        saved = Saved(value._data, value._data.version, edge_of(value))
        return (saved if outer is None else outer.keep(saved), value.requires_grad)

    def keep(self, saved: Saved) -> Any:
        """Return a promise; for a tensor from outside (an argument, a parameter), which stays in memory, the tensor."""
        if not saved.itself and saved.edge is not None and saved.edge.node.sequence <= self._start:
            return saved
        promise = Promise(self, saved)
        self.promises.append(ref(promise))
        return promise

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let nodes that are recorded within the block save promises."""
        self._start = _last_sequence()
        token = keeper.set(self)
        try:
            yield
        finally:
            keeper.reset(token)

    def recompute(self) -> None:
        """Run the function again and fulfil the promises."""
        second_run = _SecondRun()
        with ExitStack() as stack:
            stack.enter_context(grad_mode(True))
            if self.modes:
                stack.enter_context(interpreting(*interpreter_stack(), *self.modes))
            for generator, state, offset in self.random:
                stack.enter_context(generator.rewound(state, offset))
            stack.enter_context(self.context)
            args = self._arguments()
            stack.enter_context(second_run.collecting())
            self.function(*args, **self.kwargs)
        if self.check and len(second_run.values) != len(self.promises):
            raise GradError(
                mistake("checkpoint", "the function",
                        f"one that keeps {len(second_run.values)} values in its second run",
                        f"{len(self.promises)}, as in the first", "it must do the same each time")
            )  # fmt: skip
        for reference, saved in zip(self.promises, second_run.values, strict=False):
            promise = reference()
            if promise is None:
                continue
            kind = (tuple(saved.data.shape), saved.data.dtype)
            if self.check and kind != promise.kind:
                raise GradError(
                    mistake("checkpoint", "a value of the second run", f"{kind[1].name}{list(kind[0])}",
                            f"{promise.kind[1].name}{list(promise.kind[0])}, as in the first",
                            "the function must do the same each time")
                )  # fmt: skip
            promise.fulfil(saved)

    def _arguments(self) -> list[Any]:
        """Return the arguments as new leaves; in a trace after a barrier together with the gradient of the results."""
        saved = [argument for argument in self.args if isinstance(argument, tuple)]
        values = []
        for tensor, requires_grad in saved:
            if tensor.data.version != tensor.version:
                raise GradError(
                    "checkpoint: an argument was written in place between the two runs, expected it to be as it was; "
                    "clone() it before the change"
                )
            values.append((Tensor.wrap(tensor.data), requires_grad))
        tensors = [tensor for tensor, _ in values]
        if tracing() and tensors:
            with grad_mode(False):
                behind = bind(OPS["barrier"], *tensors, *self.gradients)
            tensors = list(behind[: len(tensors)]) if isinstance(behind, tuple) else [behind]
        fresh = iter(
            [
                tensor.detach().requires_grad_(needs)
                for tensor, (_, needs) in zip(tensors, values, strict=True)
            ]
        )
        return [next(fresh) if isinstance(argument, tuple) else argument for argument in self.args]


class _SecondRun:
    """Collects the saved tensors of the second run, in order."""

    def __init__(self) -> None:
        self.values: list[Saved] = []
        self._start = 0

    def keep(self, saved: Saved) -> Any:
        if saved.itself or saved.edge is None or saved.edge.node.sequence > self._start:
            self.values.append(saved)
        return saved

    @contextmanager
    def collecting(self) -> Iterator[None]:
        self._start = _last_sequence()
        token = keeper.set(self)
        try:
            yield
        finally:
            keeper.reset(token)


def _last_sequence() -> int:
    """Return the sequence number of the newest node of the tape."""
    return Barrier(lambda grads: grads, ()).sequence


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    context_fn: Contexts = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    **kwargs: Any,
) -> Any:
    """Return ``function(*args, **kwargs)``; the backward pass computes its activations again instead of saving them.

    As ``torch.utils.checkpoint.checkpoint``. This saves memory and costs a second forward pass of the function: with
    every block of a transformer in a checkpoint, a training step does up to a third more operations and holds less than
    half of the activations. Random operations draw the same numbers in both runs, unless ``preserve_rng_state`` is
    False. ``use_reentrant`` selects one of PyTorch's two implementations; weft has a single implementation with the
    abilities of both. ``context_fn`` returns the contexts of the two runs. ``determinism_check="none"`` omits the
    comparison of shapes and types. Raises ``GradError`` if the second run differs from the first.

    >>> import weft as wf
    >>> x = wf.tensor([1.0, 2.0], requires_grad=True)
    >>> wf.utils.checkpoint.checkpoint(lambda x: (x.exp() * x).sum(), x).backward()
    >>> x.grad
    tensor([ 5.4366, 22.1672])
    """
    if debug:
        raise UnsupportedError(
            mistake("checkpoint", "debug", True, "False", "use weft.explain to see what is run")
        )
    if determinism_check not in ("default", "none"):
        raise ArgumentError(
            mistake("checkpoint", "determinism_check", repr(determinism_check), "'default' or 'none'")
        )
    if not is_enabled():
        return function(*args, **kwargs)
    if transforming():
        raise UnsupportedError(
            "checkpoint: is called in a function that weft.func transforms, expected a call outside of one; call the "
            "function itself there"
        )
    first, second = context_fn()
    frame = Frame(function, args, kwargs, second, determinism_check == "default")
    before = {generator: _Position(generator) for generator in all_generators()}
    with frame.running(), first:
        result = function(*args, **kwargs)
    if preserve_rng_state:
        frame.random = _used_generators(before)
    return _noting_gradients(frame, result)


class _Position:
    """The position of a generator before the first run."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        state, self.offset = generator.standing()
        self._version = 0 if state is None else state._data.version

    @property
    def moved(self) -> bool:
        """Whether the generator's state was written since: by a number of draws that the trace does not know."""
        state, _ = self._generator.standing()
        return state is not None and state._data.version != self._version


def _used_generators(before: dict[Generator, _Position]) -> list[tuple[Generator, Tensor, int]]:
    """Return the generators that the first run drew from, each with a copy of its state and its position before."""
    used = []
    with grad_mode(False):
        for generator in all_generators():
            stood = before.get(generator)
            offset = 0 if stood is None else stood.offset
            if stood is not None and tracing() and stood.moved:
                raise UnsupportedError(
                    mistake("checkpoint", "the function", "one with random numbers in a cond or while_loop",
                            "one that draws a number of them that is known when it is traced",
                            "put the checkpoint into the branch, or pass preserve_rng_state=False")
                )  # fmt: skip
            if generator.standing()[1] != offset:
                used.append((generator, bind(OPS["copy"], generator.state()), offset))
    return used


def _noting_gradients(frame: Frame, result: Any) -> Any:
    """Return the results behind a tape node that passes their gradients on to the frame."""
    if not tracing():
        return result
    parts = list(result) if isinstance(result, tuple | list) else [result]
    places = [at for at, part in enumerate(parts) if isinstance(part, Tensor) and edge_of(part) is not None]
    if not places:
        return result

    def note(gradients: tuple[Any, ...]) -> Sequence[Any]:
        frame.gradients = [gradient.detach() for gradient in gradients if gradient is not None]
        return gradients

    through = Barrier(note, [parts[at] for at in places]).through([parts[at] for at in places])
    for at, part in zip(places, through, strict=True):
        parts[at] = part
    return type(result)(parts) if isinstance(result, tuple | list) else parts[0]


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Apply functions, or the modules of a ``Sequential``, in order, grouped into ``segments`` checkpoints.

    As ``torch.utils.checkpoint.checkpoint_sequential``: the last segment saves its activations. Raises
    ``ArgumentError`` unless ``segments`` is between 1 and the number of functions.

    >>> import weft as wf
    >>> layers = wf.nn.Sequential(*[wf.nn.Linear(2, 2) for _ in range(4)])
    >>> tuple(wf.utils.checkpoint.checkpoint_sequential(layers, 2, wf.ones(3, 2)).shape)
    (3, 2)
    """
    parts = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if isinstance(segments, bool) or not isinstance(segments, int) or not 1 <= segments <= len(parts):
        raise ArgumentError(
            mistake("checkpoint_sequential", "segments", segments, f"a whole number from 1 to {len(parts)}")
        )

    def run(segment: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
        def forward(value: Any) -> Any:
            for function in segment:
                value = function(value)
            return value

        return forward

    size = len(parts) // segments
    for at in range(segments - 1):
        input = checkpoint(
            run(parts[at * size : (at + 1) * size]), input, use_reentrant=use_reentrant, **kwargs
        )
    return run(parts[(segments - 1) * size :])(input)
