"""``compile_forward``: a forward pass with inputs by name, compiled by ``jit`` for each size that comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from weft import devices
from weft.autograd import no_grad
from weft.compiler.jit import JitFunction
from weft.compiler.plans.compiled import CompiledPlan
from weft.compiler.reached import device_of_call
from weft.compiler.training_inputs import Inputs
from weft.compiler.training_results import Captures
from weft.errors import ArgumentTypeError, DisposedError, mistake
from weft.nn.module import Module
from weft.random.generator import Generator, drawing_from

SIZES = 8
"""Programs that a forward pass keeps, those used last."""


class CompiledForward:
    """A compiled forward pass: call it with its inputs by name. Made by ``compile_forward`` and ``train.attach``.

    It runs without recording gradients, its model in evaluation mode; what the model's modules are set to is as before
    afterwards.
    """

    def __init__(
        self, where: str, forward: Callable[..., Any], inputs: Mapping[str, Any], model: Callable[[], Module | None],
        device: str, lock: threading.RLock, generator: Callable[[], Generator | None],
    ) -> None:  # fmt: skip
        self._where, self._forward, self._model, self._lock = where, forward, model, lock
        self._generator = generator
        self.inputs = Inputs(where, inputs, device)
        self._closed = ""
        self._program = self._make()
        if not self.inputs.open:
            with self._running():
                self._program.prepare((), self.inputs.examples())

    def _make(self) -> JitFunction:
        forward, model = self._forward, self._model()

        generator = self._generator()

        def run(**inputs: Any) -> Any:
            with nullcontext() if generator is None else drawing_from(generator):
                return forward(**inputs) if model is None else forward(model, **inputs)

        run.__name__ = self._where
        return JitFunction(run, (), SIZES, False)

    def __call__(self, /, **inputs: Any) -> Any:
        """The result of the forward pass, on the device; inputs that are ``None`` sizes are compiled for on demand."""
        with self._running():
            return self._program(**self.inputs.check(self._where, inputs))

    def with_captures(self, /, **inputs: Any) -> tuple[Any, Captures]:
        """The result, and what was marked by ``weft.capture``; compiled apart from calls without captures."""
        with self._running():
            result, found = self._program.with_captures(**self.inputs.check(self._where, inputs))
        return result, Captures(found)

    def plan(self, /, **inputs: Any) -> CompiledPlan:
        """The compiled forward pass for inputs like these by itself: it reports, is saved, and is called by name.

        It sees the model's weights as they are at each call. See ``JitFunction.plan``.
        """
        with self._running():
            made = self._program.plan(**self.inputs.check(self._where, inputs))
        made.holding = self._running
        return made

    @property
    def compilations(self) -> int:
        """Programs made so far for the present model."""
        return self._program.compilations

    @contextmanager
    def _running(self) -> Iterator[None]:
        with self._lock, no_grad():
            if self._closed:
                raise DisposedError(f"{self._where}: is called after {self._closed}, expected a call before")
            model = self._model()
            with evaluating(model):
                yield

    def renew(self, device: str) -> None:
        """Start anew with another model: programs are made when they are called for."""
        self.inputs.move(device)
        self._program = self._make()

    def close(self, fate: str = "close()") -> None:
        """Let go of the programs and the model; calls afterwards raise ``DisposedError``."""
        with self._lock:
            self._closed = fate
            self._program.clear_cache()
            self._program = JitFunction(_nothing, (), 1, False)
            self._model, self._forward, self._generator = _none, _nothing, _none


def _nothing(*_: Any, **__: Any) -> None:
    """In the place of what was let go of."""


def _none() -> None:
    """In the place of a model that was let go of."""


@contextmanager
def evaluating(model: Module | None) -> Iterator[None]:
    """A model in evaluation mode, each of its modules as it was afterwards."""
    training = [] if model is None else [module for module in model.modules() if module.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def compile_forward(model: Callable[..., Any], inputs: Mapping[str, Any]) -> CompiledForward:
    """Compile a module, or a function of tensors, for calls with its inputs by name.

    ``inputs``: for each name an example tensor, a ``TensorType``, a shape (for float32) or a pair (shape, dtype). A
    size that is ``None`` is compiled for when it first comes (the 8 used last are kept), and is one size for all of a
    call. Without such sizes all is compiled here, where mistakes in shapes are raised with the user's line. A module
    runs in evaluation mode; a function as it stands, with the modules that it reaches as they are. Nothing is recorded
    for gradients. Calls raise ``ShapeError``, ``DTypeError`` or ``ArgumentTypeError`` for other inputs.

    >>> import weft as wf
    >>> predict = wf.compile_forward(wf.nn.Linear(4, 2), {"input": (None, 4)})
    >>> predict(input=wf.ones(3, 4)).shape, predict(input=wf.ones(1, 4)).shape
    ((3, 2), (1, 2))
    """
    if not callable(model):
        raise ArgumentTypeError(
            mistake("compile_forward", "model", f"a {type(model).__name__}", "a module or a function")
        )
    if isinstance(model, Module):
        return CompiledForward(
            type(model).__name__,
            _call,
            inputs,
            lambda: model,
            device_of_model(model),
            threading.RLock(),
            _none,
        )
    name = getattr(model, "__name__", type(model).__name__)
    return CompiledForward(
        name, model, inputs, _none, device_of_call(model, ()).name, threading.RLock(), _none
    )


def _call(model: Module, **inputs: Any) -> Any:
    return model(**inputs)


def device_of_model(model: Module) -> str:
    """Where a model's parameters and buffers are; the default device where it has none."""
    found = next(model.parameters(), None)
    if found is None:
        found = next(model.buffers(), None)  # type: ignore[assignment]
    return devices.default().name if found is None else str(found.device)
