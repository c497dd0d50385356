"""In-place updates: whether a kernel may overwrite a value that it reads."""

from __future__ import annotations

from weft.expr import Expr, walk
from weft.graph.fuse.products import SIDES
from weft.graph.lower.lowered import Block, LoweredStep
from weft.kernels import Kernel, Library, Part


def may_overwrite(call: LoweredStep, old: str, new: str) -> bool:
    """Return whether a kernel reads ``old`` only at the index where the same point writes ``new``."""
    parts = parts_of(call)
    if (
        not parts
        or isinstance(call, Block)
        or isinstance(call.kernel, Library)
        and old in call.values[: len(SIDES)]
    ):
        return False
    for part in parts:
        stores = [store for store in part.stores if store.buffer == new]
        loads = _loads(part, old)
        if not loads:
            continue
        if len(stores) != 1 or part.reductions or any(index is not stores[0].index for index in loads):
            return False
        if part.checks or _depends_on_loads(stores[0].index):
            return False
    # no other part may write what this part reads
    writing = [part for part in parts if any(store.buffer == new for store in part.stores)]
    reading = [part for part in parts if _loads(part, old)]
    return len(writing) == 1 and reading in ([], writing)


def parts_of(call: LoweredStep) -> tuple[Part, ...]:
    """Return the parts of a call's kernel, which hold its indices; they exclude the operands of a product."""
    if isinstance(call, Block):
        return ()
    if isinstance(call.kernel, Kernel):
        return call.kernel.parts
    if isinstance(call.kernel, Library) and call.kernel.epilogue is not None:
        return (call.kernel.epilogue.part,)
    return ()


def _loads(part: Part, buffer: str) -> list[Expr]:
    return [node.args[0] for node in part.loads.get(buffer, ())]


def _depends_on_loads(index: Expr) -> bool:
    return any(node.function == "load" for node in walk(index))
