"""``compile_forward``: a forward pass with inputs by name, compiled by ``jit`` for each size of the inputs."""

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
"""How many programs a forward pass keeps, the most recently used."""


class CompiledForward:
    """A compiled forward pass, called with its inputs by name; made by ``compile_forward`` and ``train.attach``.

    A call records no gradients and runs the model in evaluation mode; the mode of each module is restored afterwards.
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
        """Run the forward pass and return its result on the device; a new value of an open size is compiled first."""
        with self._running():
            return self._program(**self.inputs.check(self._where, inputs))

    def with_captures(self, /, **inputs: Any) -> tuple[Any, Captures]:
        """Return the result and the tensors that ``weft.capture`` marked; such calls have programs of their own."""
        with self._running():
            result, found = self._program.with_captures(**self.inputs.check(self._where, inputs))
        return result, Captures(found)

    def plan(self, /, **inputs: Any) -> CompiledPlan:
        """Return the compiled forward pass for inputs like these as a plan, which reports costs and can be saved.

        Each call of the plan uses the model's present weights. See ``JitFunction.plan``.
        """
        with self._running():
            made = self._program.plan(**self.inputs.check(self._where, inputs))
        made.holding = self._running
        return made

    @property
    def compilations(self) -> int:
        """How many programs were compiled for the present model."""
        return self._program.compilations

    @contextmanager
    def _running(self) -> Iterator[None]:
        with self._lock, no_grad():
            if self._closed:
                raise DisposedError(
                    f"{self._where}: is called after {self._closed}, expected an open forward pass; compile it again"
                )
            model = self._model()
            with evaluating(model):
                yield

    def renew(self, device: str) -> None:
        """Remove all programs for another model; new programs are compiled on demand."""
        self.inputs.move(device)
        self._program = self._make()

    def close(self, fate: str = "close()") -> None:
        """Release the programs and the model; later calls raise ``DisposedError``."""
        with self._lock:
            self._closed = fate
            self._program.clear_cache()
            self._program = JitFunction(_nothing, (), 1, False)
            self._model, self._forward, self._generator = _none, _nothing, _none


def _nothing(*_: Any, **__: Any) -> None:
    """Replace a released function."""


def _none() -> None:
    """Replace a function that returned a released model."""


@contextmanager
def evaluating(model: Module | None) -> Iterator[None]:
    """Set a model to evaluation mode in a ``with`` block, and restore the mode of each module."""
    training = [] if model is None else [module for module in model.modules() if module.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def compile_forward(model: Callable[..., Any], inputs: Mapping[str, Any]) -> CompiledForward:
    """Compile a module, or a function of tensors, for calls with inputs by name.

    A module runs in evaluation mode; a function runs the modules that it reaches in their present mode. No gradients
    are recorded. Without open sizes the function is compiled here, and errors in shapes name the user's line.

    Args:
        model: the module or function.
        inputs: for each name an example tensor, a ``TensorType``, a shape (of float32) or a pair (shape, dtype). A size
            of ``None`` is open: each size is compiled at its first use (8 programs are kept), and all open sizes of a
            call are equal.

    Raises:
        ShapeError, DTypeError, ArgumentTypeError: in a call, for inputs that are not as declared.

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
    """Return the device of a model's parameters and buffers; the default device where it has none."""
    found = next(model.parameters(), None)
    if found is None:
        found = next(model.buffers(), None)  # type: ignore[assignment]
    return devices.default().name if found is None else str(found.device)
