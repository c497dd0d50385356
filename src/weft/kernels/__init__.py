"""Kernel descriptions as data: derived kernels, references to library kernels, and the builder of derived kernels."""

from weft.kernels.builder import Builder, Operand, coalesce
from weft.kernels.derived import Axis, Buffer, Check, Kernel, Part, Reduction, Store, may_coincide
from weft.kernels.numbers import as_parameter
from weft.kernels.program import (
    PARTS,
    Argument,
    Epilogue,
    KernelProgram,
    KernelStep,
    Library,
    Offset,
    Scalar,
    renumbered,
)

__all__ = [
    "PARTS",
    "Argument",
    "Axis",
    "Buffer",
    "Builder",
    "Check",
    "Epilogue",
    "Kernel",
    "KernelProgram",
    "KernelStep",
    "Library",
    "Offset",
    "Operand",
    "Part",
    "Reduction",
    "Scalar",
    "Store",
    "as_parameter",
    "coalesce",
    "may_coincide",
    "renumbered",
]
