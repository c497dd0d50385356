"""The batching rule of ``scan`` in a graph: one loop whose steps run the body on all samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.control.body import trace_bodies, types_of
from weft.func.calls import BatchedCall
from weft.graph import interpret
from weft.ops import OPS, TensorType, bind


def scan(call: BatchedCall) -> Sequence[Any]:
    """Batch a loop; sequences and captured tensors have samples where they do in the call, and the carry always."""
    given = call.attributes
    body, carries, last = given["body"], given["carries"], given["carries"] + given["sequences"]
    mapped = [at < carries or batched for at, batched in enumerate(call.batched)]
    values = [call.front(at) if is_mapped else call.values[at] for at, is_mapped in enumerate(mapped)]
    values[carries:last] = [
        _swapped(value) if is_mapped else value
        for value, is_mapped in zip(values[carries:last], mapped[carries:last], strict=True)
    ]
    types = types_of(values)
    types[carries:last] = [TensorType(type_.shape[1:], type_.dtype) for type_ in types[carries:last]]

    def step(*operands: Any) -> Sequence[Any]:
        return call.level.on_all(lambda *values: interpret(body, values, [])[0], operands, mapped)  # type: ignore[no-any-return]

    whole = trace_bodies([(step, types)], str(values[0].device))
    (graph,) = whole.graphs
    outputs = call.again(*values, *whole.outside, body=graph)
    return [*outputs[:carries], *map(_swapped, outputs[carries:])]


def _swapped(value: Any) -> Any:
    """Exchange the first two dimensions, steps and samples."""
    order = (1, 0, *range(2, len(value.shape)))
    return bind(OPS["permute"], value, order=order)
