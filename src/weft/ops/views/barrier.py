"""``barrier``: values as they are, which no pass of the compiler looks through.

A recomputation in the backward pass begins with one, over the values that it starts from and the gradient that it is
for: its nodes then have other operands than those of the forward pass, so they are not merged with these, and they
run no earlier than the gradient is there.
"""

from __future__ import annotations

from weft.kernels import KernelProgram
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import KernelRequest, OpSpec
from weft.ops.registry.table import declare
from weft.ops.views.ops import copy_step


def _lower(request: KernelRequest) -> KernelProgram:
    pairs = zip(request.operands, request.outputs, strict=True)
    return KernelProgram(tuple(copy_step("barrier", a, b, a.shape, a.strides, b.strides) for a, b in pairs))


BARRIER: OpSpec = declare(
    "barrier", rules=Rules("leading", tangent="linear_in_all"),
    infer=lambda *types: types, reference=lambda *values: tuple(value.copy() for value in values),
    lower=_lower, gradient=lambda context, *grads: grads,
    doc="The values as they are, together: none before all are there.",
)  # fmt: skip


def _lower_copy(request: KernelRequest) -> KernelProgram:
    (x,), (out,) = request.operands, request.outputs
    return KernelProgram((copy_step("stop_gradient", x, out, x.shape, x.strides, out.strides),))


STOP_GRADIENT: OpSpec = declare(
    "stop_gradient", rules=Rules("leading"),
    infer=lambda x: (x,), reference=lambda x: x.copy(), lower=_lower_copy,
    doc="The value as it is, through which no gradient flows: a graph's word for ``detach``.",
)  # fmt: skip
