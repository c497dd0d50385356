"""Reverse-mode automatic differentiation: the tape, ``backward``, ``grad``, grad modes, and the numerical checks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import weft.tensors  # noqa: F401  (first, whichever module is imported: tensors are assembled of modules of this package)

if TYPE_CHECKING:
    from weft.autograd.check import gradcheck, gradgradcheck
    from weft.autograd.engine import backward, grad
    from weft.autograd.function import Function, once_differentiable
    from weft.autograd.mode import (
        enable_grad,
        inference_mode,
        is_grad_enabled,
        is_inference_mode_enabled,
        no_grad,
        set_grad_enabled,
    )
    from weft.autograd.variable import Variable

__all__ = [
    "Function",
    "Variable",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
]

# resolved when first used: Function and the checks need the whole class of tensors, which imports this package
_SOURCE = {
    "backward": "engine", "grad": "engine", "gradcheck": "check", "gradgradcheck": "check", "enable_grad": "mode",
    "Function": "function", "once_differentiable": "function",
    "is_grad_enabled": "mode", "no_grad": "mode", "set_grad_enabled": "mode", "inference_mode": "mode",
    "is_inference_mode_enabled": "mode", "Variable": "variable",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("function", "functional"):  # modules in PyTorch too: autograd.function.once_differentiable
        return import_module(f"weft.autograd.{name}")
    if name not in _SOURCE:
        raise AttributeError(f"module 'weft.autograd' has no attribute {name!r}")
    value = getattr(import_module(f"weft.autograd.{_SOURCE[name]}"), name)
    globals()[name] = value
    return value
