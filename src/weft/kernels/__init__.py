"""Kernel descriptions: derived kernels as data, library kernels as templates, and the builder that makes them."""

from weft.kernels.builder import Builder, Operand, coalesce
from weft.kernels.derived import Axis, Buffer, Check, Kernel, Part, Reduction, Store, may_coincide
from weft.kernels.numbers import as_parameter
from weft.kernels.program import (
    PARTS,
    Argument,
    Epilogue,
    Library,
    Offset,
    Program,
    Scalar,
    Step,
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
    "Library",
    "Offset",
    "Operand",
    "Part",
    "Program",
    "Reduction",
    "Scalar",
    "Step",
    "Store",
    "as_parameter",
    "coalesce",
    "may_coincide",
    "renumbered",
]
