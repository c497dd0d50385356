"""``capture(name, tensor)``: mark an intermediate result, which a call of ``with_captures`` returns."""

from __future__ import annotations

from contextvars import ContextVar

from weft.control.body import in_body
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake
from weft.ops import OPS, bind
from weft.tensors.tensor import Tensor

collecting: ContextVar[dict[str, Tensor] | None] = ContextVar("weft_captures", default=None)
"""The captures of this context by name while a call of ``with_captures`` is traced; ``None`` otherwise."""


def capture(name: str, tensor: Tensor) -> Tensor:
    """Return ``tensor`` unchanged; in a call of ``with_captures``, also record its value under ``name``.

    In other calls ``capture`` has no effect, and the graph has no node for it.

    Raises:
        ArgumentError: the same call has used ``name`` before.
        UnsupportedError: the call stands in the body of a loop or a branch.

    >>> import weft as wf
    >>> @wf.jit
    ... def f(x):
    ...     return wf.capture("doubled", x * 2).sum()
    >>> f.with_captures(wf.ones(2, device="cpu"))
    (tensor(4.), {'doubled': tensor([2., 2.])})
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(mistake("capture", "name", repr(name), "a string"))
    if not isinstance(tensor, Tensor):
        raise ArgumentTypeError(mistake("capture", "tensor", f"a {type(tensor).__name__}", "a Tensor"))
    captures = collecting.get()
    if captures is not None:
        if in_body():
            raise UnsupportedError(
                mistake("capture", "the call", f"of {name!r} in the body of a loop or a branch", "a call outside of it",
                        "return the value from the body, and capture the returned value")
            )  # fmt: skip
        if name in captures:
            raise ArgumentError(
                mistake(
                    "capture",
                    "name",
                    repr(name),
                    "a name that was not used before",
                    "number them: f'hidden{i}'",
                )
            )
        # a copy, since the tensor may be written in place later
        captures[name] = bind(OPS["copy"], tensor.detach())
    return tensor
