"""What a training step gives: its loss and captures, computed on the device and waited for when they are read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from weft.errors import Aborted, ArgumentError, ShapeError, mistake
from weft.tensors.tensor import Tensor


class Captures(dict[str, Tensor]):
    """What ``weft.capture`` marked in a call, by name.

    >>> import weft as wf
    >>> score = wf.compile_forward(lambda x: wf.capture("rows", x).sum(), {"x": (2, 3)})
    >>> _, captures = score.with_captures(x=wf.ones(2, 3))
    >>> list(captures), captures["rows"].shape
    (['rows'], (2, 3))
    """

    def __missing__(self, name: str) -> Tensor:
        expected = f"one of {', '.join(self)}" if self else "none, as nothing is marked by weft.capture"
        raise ArgumentError(mistake("captures", "the name", repr(name), expected))

    def per_head(self, name: str) -> tuple[Tensor, ...]:
        """The parts of a capture [..., heads, rows, columns], one for each head: [..., rows, columns].

        Raises ``ArgumentError`` for a name that was not captured, ``ShapeError`` for fewer than 3 dimensions.
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

    Reading ``loss`` waits for it; so does ``await``, without holding up the event loop. Where the model was replaced or
    the training closed before, ``Aborted`` is raised; what the step itself failed in, is raised too.
    """

    __slots__ = ("_captures", "_fate", "_loss", "_value", "number")

    def __init__(self, number: int, loss: Tensor, captures: Captures, fate: Callable[[], str]) -> None:
        self.number = number
        """Which step it was, counted from 1."""
        self._loss, self._captures, self._fate = loss, captures, fate
        self._value: float | None = None

    def _alive(self) -> None:
        fate = "" if self._value is not None else self._fate()
        if fate:
            raise Aborted(
                f"step {self.number}: its result was not read before {fate}; read results before that"
            )

    @property
    def tensor(self) -> Tensor:
        """The loss as a 0-d tensor on the device, without waiting."""
        self._alive()
        return self._loss

    @property
    def loss(self) -> float:
        """The loss as a number; waits for the device once."""
        self._alive()
        if self._value is None:
            self._value = float(self._loss.item())
        return self._value

    @property
    def captures(self) -> Captures:
        """What the loss function marked by ``weft.capture``, on the device."""
        self._alive()
        return self._captures

    def wait(self) -> StepResult:
        """Wait for the loss; gives the result itself."""
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
