"""``capture(name, tensor)``: mark an intermediate result, to be read from outside where somebody asks for it."""

from __future__ import annotations

from contextvars import ContextVar

from weft.control.body import in_body
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake
from weft.ops import OPS, bind
from weft.tensors.tensor import Tensor

collecting: ContextVar[dict[str, Tensor] | None] = ContextVar("weft_captures", default=None)
"""Where captures of this context go, while a call ``with_captures`` is traced."""


def capture(name: str, tensor: Tensor) -> Tensor:
    """Give ``tensor`` back; where the jitted function around was called by ``with_captures``, keep its value too.

    Elsewhere it does nothing, and a graph without captures holds no sign of it. Raises ``ArgumentError`` for a name
    that was used before in the same call, ``UnsupportedError`` within the body of a loop or a branch.

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
    kept = collecting.get()
    if kept is not None:
        if in_body():
            raise UnsupportedError(
                mistake("capture", "the call", f"of {name!r} in the body of a loop or a branch", "one outside of it",
                        "return the value from the body, and capture that")
            )  # fmt: skip
        if name in kept:
            raise ArgumentError(
                mistake(
                    "capture",
                    "name",
                    repr(name),
                    "a name that was not used before",
                    "number them: f'hidden{i}'",
                )
            )
        kept[name] = bind(OPS["copy"], tensor.detach())  # as it is now: it may be written in place later
    return tensor
