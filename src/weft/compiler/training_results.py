"""Results of a training step: the loss and the captures, which are computed asynchronously on the device."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from weft.errors import Aborted, ArgumentError, ShapeError, mistake
from weft.tensors.tensor import Tensor


class Captures(dict[str, Tensor]):
    """The tensors that ``weft.capture`` marked in a call, by name.

    >>> import weft as wf
    >>> score = wf.compile_forward(lambda x: wf.capture("rows", x).sum(), {"x": (2, 3)})
    >>> _, captures = score.with_captures(x=wf.ones(2, 3))
    >>> list(captures), captures["rows"].shape
    (['rows'], (2, 3))
    """

    def __missing__(self, name: str) -> Tensor:
        expected = f"one of {', '.join(self)}" if self else "no name, since the call has no weft.capture"
        raise ArgumentError(mistake("captures", "the name", repr(name), expected))

    def per_head(self, name: str) -> tuple[Tensor, ...]:
        """Split a capture of shape [..., heads, rows, columns] into one tensor [..., rows, columns] for each head.

        Raises:
            ArgumentError: the call has no capture of that name.
            ShapeError: the capture has fewer than 3 dimensions.
        """
        whole = self[name]
        if whole.ndim < 3:
            shape = list(whole.shape)
            raise ShapeError(
                mistake("per_head", f"the capture {name!r}", shape, "[..., heads, rows, columns]")
            )
        return tuple(whole.unbind(-3))


class StepResult:
    """The loss and captures of a step, which the device may still be computing.

    Reading ``loss`` waits for the device; ``await result`` waits without blocking the event loop. Both raise
    ``Aborted`` where the model was replaced or the training closed before, and the error of the step where it failed.

    >>> import weft as wf
    >>> train = wf.compile_training(
    ...     wf.nn.Linear(2, 1), lambda model, x: model(x).square().mean(),
    ...     lambda model: wf.optim.SGD(model.parameters(), lr=0.1), {"x": (4, 2)})
    >>> result = train.step(x=wf.ones(4, 2))
    >>> result.number, result.loss == float(result), result.tensor.shape
    (1, True, ())
    """

    __slots__ = ("_captures", "_fate", "_loss", "_value", "number")

    def __init__(self, number: int, loss: Tensor, captures: Captures, fate: Callable[[], str]) -> None:
        self.number = number
        """The number of the step, counted from 1."""
        self._loss, self._captures, self._fate = loss, captures, fate
        self._value: float | None = None

    def _alive(self) -> None:
        fate = "" if self._value is not None else self._fate()
        if fate:
            raise Aborted(
                f"step {self.number}: its result is read after {fate}, expected a read before; read results earlier"
            )

    @property
    def tensor(self) -> Tensor:
        """The loss as a 0-d tensor on the device, without waiting."""
        self._alive()
        return self._loss

    @property
    def loss(self) -> float:
        """The loss as a Python number; the first read waits for the device."""
        self._alive()
        if self._value is None:
            self._value = float(self._loss.item())
        return self._value

    @property
    def captures(self) -> Captures:
        """The tensors that the loss function marked by ``weft.capture``, on the device."""
        self._alive()
        return self._captures

    def wait(self) -> StepResult:
        """Wait for the loss, and return the result itself."""
        _ = self.loss
        return self

    def __await__(self) -> Generator[Any, None, StepResult]:
        return asyncio.to_thread(self.wait).__await__()

    def __float__(self) -> float:
        return self.loss

    def __repr__(self) -> str:
        value = self._fate() if self._value is None else ""
        state = value or ("being computed" if self._value is None else f"loss={self._value:.6g}")
        return f"StepResult(number={self.number}, {state})"
