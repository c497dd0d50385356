"""``barrier``: an identity that no pass of the compiler simplifies.

A recomputation in the backward pass begins with a barrier over its inputs and the incoming gradient. Its nodes then
have other operands than those of the forward pass, so that common subexpression elimination does not merge them with
these, and they run no earlier than the gradient is computed.
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
    doc="The identity of several values: no output is available before all inputs are.",
)  # fmt: skip


def _lower_copy(request: KernelRequest) -> KernelProgram:
    (x,), (out,) = request.operands, request.outputs
    return KernelProgram((copy_step("stop_gradient", x, out, x.shape, x.strides, out.strides),))


STOP_GRADIENT: OpSpec = declare(
    "stop_gradient", rules=Rules("leading"),
    infer=lambda x: (x,), reference=lambda x: x.copy(), lower=_lower_copy,
    doc="The identity without a gradient: ``detach`` in a graph.",
)  # fmt: skip
