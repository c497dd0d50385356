"""Host ops (``OpSpec.host``), which NumPy computes from the operands' values, so that they cannot be traced."""

from __future__ import annotations

from typing import Any, NoReturn

from weft.errors import UnsupportedError
from weft.ops.registry.interpreters import bind, interpreter_stack
from weft.ops.registry.spec import OpSpec


def refuse_host(where: str) -> NoReturn:
    """Raise ``UnsupportedError`` for an op that needs the values of its operands, in a traced function."""
    raise UnsupportedError(
        f"{where}: LAPACK computes it on the host from the values of the matrix, which a traced function does not "
        f"know, expected a call outside of jit, compile and saved plans; compute it before the jitted function and "
        f"pass the result to it as an argument"
    )


def bind_host(where: str, op: OpSpec, *operands: Any, **attributes: Any) -> Any:
    """Bind a host op for the public function ``where``; ``UnsupportedError`` in a traced function."""
    if getattr(interpreter_stack()[0], "records", False):
        refuse_host(where)
    return bind(op, *operands, **attributes)
