"""Reverse-mode automatic differentiation: the tape, ``backward``, ``grad``, grad modes, and the numerical checks."""

from weft.autograd.check import gradcheck, gradgradcheck
from weft.autograd.engine import backward, grad
from weft.autograd.mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled

__all__ = [
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
