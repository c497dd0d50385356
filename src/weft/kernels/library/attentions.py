"""What the kernels of attention take: buffers and parameters of each form, for templates and lowerings alike.

Tensors are (batch, length, heads, size) with any strides; ``lse`` (batch, heads, length) and ``stats`` (2, batch,
heads, length: ``lse``, then the sum of the output times its gradient) are dense. Parameters are ``SIZES``, then for
each buffer in order its offset and strides.
"""

from __future__ import annotations

from dataclasses import dataclass

SIZES = ("batch", "heads", "shared", "l", "s", "scale")
"""``shared`` heads of keys and values for ``heads`` of queries; ``l`` queries, ``s`` keys."""
STRIDED = ("offset", "b", "l", "h", "d")
MASKED = ("offset", "b", "h", "l", "s")
DENSE = ("offset",)
LARGEST_HEAD = 256
"""Elements of a head, at most: the sums of a row of results are held in registers."""


@dataclass(frozen=True)
class Form:
    """The buffers that a form reads, without the mask, which follows them, and those that it writes."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def reads(self, masked: bool) -> tuple[str, ...]:
        """All inputs."""
        return (*self.inputs, "mask") if masked else self.inputs


FORMS = {
    "forward": Form(("q", "k", "v"), ("out", "lse")),
    "query": Form(("q", "k", "v", "grad", "stats"), ("dq",)),
    "key": Form(("q", "k", "v", "grad", "stats"), ("dk", "dv")),
    "backward": Form(("q", "k", "v", "grad", "stats"), ("dq", "dk", "dv")),
}
"""``query`` and ``key`` together are ``backward``, by workgroups over queries and over keys."""


def of_buffer(name: str) -> tuple[str, ...]:
    """What follows a buffer's name in its parameters: its offset and strides."""
    if name == "mask":
        return MASKED
    return DENSE if name in ("lse", "stats") else STRIDED


def parameters(form: str, masked: bool) -> tuple[str, ...]:
    """The names of a form's parameters in order."""
    own = FORMS[form]
    buffers = (*own.reads(masked), *own.outputs)
    return (*SIZES, *(f"{name}_{part}" for name in buffers for part in of_buffer(name)))
