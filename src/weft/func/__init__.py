"""Function transforms, as ``torch.func``: reverse and forward derivatives, ``vmap``, and modules as functions.

Transforms nest in any order, and work in eager mode and inside of ``weft.jit``. Each transform is a level on the stack
of interpreters (``level.py``): ``batching.py`` maps over samples, ``forward.py`` carries tangents, and reverse mode
adds a tape.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.func.forward import jvp
    from weft.func.jacobians import hessian, jacfwd, jacrev
    from weft.func.mapping import vmap
    from weft.func.reverse import grad, grad_and_value, vjp
    from weft.func.stateless import functional_call, stack_module_state

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "stack_module_state",
    "vjp",
    "vmap",
]

_SOURCE = {
    "grad": "reverse", "grad_and_value": "reverse", "vjp": "reverse", "jvp": "forward", "vmap": "mapping",
    "jacrev": "jacobians", "jacfwd": "jacobians", "hessian": "jacobians",
    "functional_call": "stateless", "stack_module_state": "stateless",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _SOURCE:
        raise AttributeError(f"module 'weft.func' has no attribute {name!r}")
    value = getattr(import_module(f"weft.func.{_SOURCE[name]}"), name)
    globals()[name] = value
    return value
