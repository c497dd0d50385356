"""``debug(nan=True)``: run op by op, check every value, and name the first op whose result holds a NaN.

In this mode jitted functions are interpreted node by node, so that the error names the user's line. Each check waits
for the device: the mode is for finding mistakes, not for training.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any

import numpy

from weft.autograd.tape import Tape
from weft.errors import NotANumberError
from weft.graph.interpret import node_in_progress
from weft.graph.tracing import call_site
from weft.ops import OPS, Interpreter, OpSpec
from weft.ops.registry.interpreters import interpreting, modes, set_context_stack
from weft.tensors.array import Array
from weft.tensors.eager import EAGER
from weft.tensors.host import to_numpy

checking: ContextVar[NanCheck | None] = ContextVar("weft_nan_check", default=None)
"""The active NaN check of this context, or ``None``."""


class NanCheck:
    """An interpreter that executes each op and raises ``NotANumberError`` where an output holds a NaN."""

    executes = True

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op; its targets are written only after their new values were checked."""
        if op.view is not None and into is None:
            return EAGER.process(op, operands, attributes, into, below)
        if op.run is None:
            made = EAGER.process(op, operands, attributes, None, below)
        else:  # a composite op, whose parts are checked one by one
            with interpreting(self):
                made = op.run(*operands, **attributes)
        for position, value in enumerate(made):
            if _has_nan(value):
                self._raise(op, operands, position if len(made) > 1 else None)
        if into is None:
            return made
        for value, target in zip(made, into, strict=True):
            EAGER.process(OPS["cast"], (value,), {"dtype": target.dtype}, (target,), ())
        return into

    def _raise(self, op: OpSpec, operands: tuple[Any, ...], position: int | None) -> None:
        node = node_in_progress.get()
        site = call_site() if node is None or not node.site else node.site
        came = [at for at, operand in enumerate(operands) if _has_nan(operand)]
        result = "its result" if position is None else f"its result {position}"
        origin = f"operand {came[0]} already held a NaN" if came else "its operands held none"
        raise NotANumberError(f"{op.name}: {result} holds a NaN, and {origin} (at {site})")


def _has_nan(value: Any) -> bool:
    if isinstance(value, float):
        return value != value
    if not isinstance(value, Array) or value.dtype.kind != "float":
        return False
    values = to_numpy(value, EAGER)
    return bool(numpy.isnan(values.astype("float32") if values.dtype.kind not in "f" else values).any())


class debug:
    """Switch checks on from here, in a ``with`` block or in a decorated function; ``debug(nan=False)`` ends them.

    Eager operations and jitted functions are checked alike. A jitted function that raises leaves its state unchanged.

    Args:
        nan: raise ``NotANumberError`` (a ``FloatingPointError``) for the first op whose result holds a NaN; the error
            names the op and the line of the user's program.

    >>> import weft as wf
    >>> with wf.debug(nan=True):
    ...     wf.tensor([-1.0], device="cpu").sqrt()
    Traceback (most recent call last):
    weft.errors.NotANumberError: sqrt: its result holds a NaN, and its operands held none (at ...)
    """

    def __init__(self, *, nan: bool = False) -> None:
        self._nan = bool(nan)
        self._before: Any = None
        self._set()

    def _set(self) -> None:
        within = modes()
        self._before = (checking.get(), set_context_stack(None))
        if self._nan:
            check = NanCheck()
            checking.set(check)
            set_context_stack((check, Tape(), *within))
        else:
            checking.set(None)

    def __call__(self, function: Any) -> Any:
        """Return the function with the mode set during each call, and restore the mode outside."""
        self.__exit__()

        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with debug(nan=self._nan):
                return function(*args, **kwargs)

        return within

    def __enter__(self) -> debug:
        return self

    def __exit__(self, *_: object) -> None:
        checking.set(self._before[0])
        set_context_stack(self._before[1])
