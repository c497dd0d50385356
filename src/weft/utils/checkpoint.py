"""``checkpoint``: values between the operations of a function are not kept for its gradient but computed again.

While the function runs, its nodes keep promises in place of values. The first gradient rule that wants one runs the
function again, which fulfils them all; each goes when its node does. The graph of gradients is the ordinary one, so
``autograd.grad``, gradients of gradients and nested checkpoints work. In a compiled function the second run starts
behind a ``barrier``, so that no pass merges it with the first.
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
    """The contexts of the first and the second run: none."""
    return nullcontext(), nullcontext()


class Promise:
    """Stands for a value that is computed again when it is wanted; has the attributes of ``Saved``."""

    __slots__ = ("__weakref__", "_found", "edge", "frame", "itself", "kind")

    def __init__(self, frame: Frame, saved: Saved) -> None:
        self.frame = frame
        self.edge = saved.edge
        self.itself = saved.itself
        self.kind = (tuple(saved.data.shape), saved.data.dtype)
        self._found: Saved | None = None

    def fulfil(self, saved: Saved) -> None:
        """Take the value that the second run made."""
        self._found = saved

    def _value(self) -> Saved:
        if self._found is None:
            self.frame.recompute()
        if self._found is None:
            raise GradError("checkpoint: the second run did not give a value that the first one did; its function "
                            "must do the same each time")  # fmt: skip
        return self._found

    @property
    def data(self) -> Any:
        """The value."""
        return self._value().data

    @property
    def version(self) -> int:
        """The version that it had when it was computed again."""
        return self._value().version


class Frame:
    """One call of ``checkpoint``: what it takes to run the function again, and the promises that this fulfils."""

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
        self.args = [self._kept(argument, outer) for argument in args]
        self.random: list[tuple[Generator, Tensor, int]] = []
        self.promises: list[ref[Promise]] = []
        self.modes = modes()
        self.gradients: list[Tensor] = []
        self._start = 0

    def _kept(self, value: Any, outer: Keeper | None) -> Any:
        if not isinstance(value, Tensor):
            return value
        saved = Saved(value._data, value._data.version, edge_of(value))
        return (saved if outer is None else outer.keep(saved), value.requires_grad)

    def keep(self, saved: Saved) -> Any:
        """A promise; for what came from outside (arguments, parameters) the value, whose memory is held anyway."""
        if not saved.itself and saved.edge is not None and saved.edge.node.sequence <= self._start:
            return saved
        made = Promise(self, saved)
        self.promises.append(ref(made))
        return made

    @contextmanager
    def running(self) -> Iterator[None]:
        """Nodes made within it keep promises."""
        self._start = _last_sequence()
        token = keeper.set(self)
        try:
            yield
        finally:
            keeper.reset(token)

    def recompute(self) -> None:
        """Run the function again and fulfil the promises."""
        found = _Found()
        with ExitStack() as stack:
            stack.enter_context(grad_mode(True))
            if self.modes:
                stack.enter_context(interpreting(*interpreter_stack(), *self.modes))
            for generator, state, offset in self.random:
                stack.enter_context(generator.rewound(state, offset))
            stack.enter_context(self.context)
            args = self._arguments()
            stack.enter_context(found.collecting())
            self.function(*args, **self.kwargs)
        if self.check and len(found.values) != len(self.promises):
            raise GradError(
                mistake("checkpoint", "the function", f"one that keeps {len(found.values)} values in its second run",
                        f"{len(self.promises)}, as in the first", "it must do the same each time")
            )  # fmt: skip
        for reference, saved in zip(self.promises, found.values, strict=False):
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
        """The arguments as new leaves; in a trace behind a barrier with the gradient that the second run is for."""
        saved = [argument for argument in self.args if isinstance(argument, tuple)]
        values = []
        for one, requires_grad in saved:
            if one.data.version != one.version:
                raise GradError(
                    "checkpoint: an argument was written in place between the two runs, expected it to be as it was; "
                    "clone() it before the change"
                )
            values.append((Tensor.wrap(one.data), requires_grad))
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


class _Found:
    """Keeps the values of the second run, in order, as they come."""

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
    """The number of the newest node of the tape."""
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
    """``function(*args, **kwargs)``, whose inner values are computed again in the backward pass: memory for time.

    The price is the function's forward pass once more: with every block of a transformer in a checkpoint, up to a
    third more operations a training step, for less than half of the memory of its activations.
    As ``torch.utils.checkpoint.checkpoint``. Random operations draw the same numbers both times, unless
    ``preserve_rng_state`` is False. ``use_reentrant`` chooses among PyTorch's two implementations; here is one, which
    does all that either does. ``context_fn`` gives the contexts of the two runs; ``determinism_check="none"`` leaves
    out the comparison of their values' shapes. Raises ``GradError`` where the second run differs from the first.

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
    before = {generator: _Standing(generator) for generator in all_generators()}
    with frame.running(), first:
        result = function(*args, **kwargs)
    if preserve_rng_state:
        frame.random = _drawn(before)
    return _behind(frame, result)


class _Standing:
    """Where a generator stood before the first run."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        state, self.offset = generator.standing()
        self._version = 0 if state is None else state._data.version

    @property
    def moved(self) -> bool:
        """Whether its state was written since, if only when it was made: by draws whose number is not known."""
        state, _ = self._generator.standing()
        return state is not None and state._data.version != self._version


def _drawn(before: dict[Generator, _Standing]) -> list[tuple[Generator, Tensor, int]]:
    """The generators that were drawn from, each with a copy of its state and where it stood."""
    found = []
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
                found.append((generator, bind(OPS["copy"], generator.state()), offset))
    return found


def _behind(frame: Frame, result: Any) -> Any:
    """The results with one more node in their history, which tells the frame the gradient as it comes."""
    if not tracing():
        return result
    parts = list(result) if isinstance(result, tuple | list) else [result]
    places = [at for at, one in enumerate(parts) if isinstance(one, Tensor) and edge_of(one) is not None]
    if not places:
        return result

    def note(gradients: tuple[Any, ...]) -> Sequence[Any]:
        frame.gradients = [gradient.detach() for gradient in gradients if gradient is not None]
        return gradients

    through = Barrier(note, [parts[at] for at in places]).through([parts[at] for at in places])
    for at, one in zip(places, through, strict=True):
        parts[at] = one
    return type(result)(parts) if isinstance(result, tuple | list) else parts[0]


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """The functions (or the modules of a ``Sequential``) one after another, in ``segments`` checkpoints.

    As ``torch.utils.checkpoint.checkpoint_sequential``: the last segment's values are kept.

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

    def run(part: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
        def forward(value: Any) -> Any:
            for one in part:
                value = one(value)
            return value

        return forward

    size = len(parts) // segments
    for at in range(segments - 1):
        input = checkpoint(
            run(parts[at * size : (at + 1) * size]), input, use_reentrant=use_reentrant, **kwargs
        )
    return run(parts[(segments - 1) * size :])(input)
