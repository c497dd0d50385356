"""``OpSpec``: one operation of the table, and the types and requests by which it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from weft.dtypes import DType
from weft.kernels import KernelProgram, Operand
from weft.ops.registry.geometry import Geometry
from weft.ops.registry.rules import NONE, Rules
from weft.target import TargetProfile


@dataclass(frozen=True, slots=True)
class TensorType:
    """What is known of a tensor without its data; a Python scalar operand has ``shape None``."""

    shape: tuple[int, ...]
    dtype: DType
    scalar: bool = False

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


@runtime_checkable
class Value(Protocol):
    """What ops take and give: a tensor, an array on a device, a traced or an abstract value."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""

    @property
    def dtype(self) -> DType:
        """Element type."""


class Gradient(Protocol):
    """What a gradient rule is given: the op call that it differentiates."""

    types: tuple[TensorType, ...]
    """Types of the operands."""
    output_types: tuple[TensorType, ...]
    needs: tuple[bool, ...]
    """Which operands' gradients are wanted."""
    attributes: dict[str, Any]

    def input(self, index: int) -> Any:
        """Operand ``index``, which the op declares in ``saves``; a Python scalar as it was given."""

    def output(self, index: int = 0) -> Any:
        """Output ``index``; the op declares ``saves_output``."""


class KernelRequest(NamedTuple):
    """What ``OpSpec.lower`` makes kernels for: operands and outputs where they lie, attributes, and the target."""

    operands: Sequence[Operand]
    outputs: Sequence[Operand]
    attributes: dict[str, Any]
    profile: TargetProfile


Infer = Callable[..., "tuple[TensorType, ...]"]
Lower = Callable[["KernelRequest"], KernelProgram]
View = Callable[..., "Geometry | None"]


@dataclass(frozen=True, eq=False)
class OpSpec:
    """One operation, declared once.

    ``infer(*types, **attributes)`` gives the outputs' types and raises on mistakes. ``lower(request)`` gives the
    kernels; a *view* op has ``view(geometry, **attributes)`` instead, ``None`` where the view needs a copy first.
    ``reference(*arrays, **attributes)`` is the same in NumPy. ``gradient(context, *grads)`` gives one gradient
    or ``None`` per operand and may read the operands in ``saves`` and, with ``saves_output``, the outputs. ``saves``
    may be a function from which operands' gradients are wanted to the operands that these read.
    ``joint_gradient(operand_type, calls)`` gives the gradient of one operand for all calls of the op on it, each its
    attributes and the gradient of its output, where that costs less than the sum of theirs.
    ``rules`` names how the transforms above the op table treat it.
    ``elementwise`` ops may write over an operand. ``overwrites``: operands that may be the targets themselves, in
    order; ``lower`` then gets the target in the operand's place, and need not copy what stays as it is. ``reports``
    names the operand whose indices the kernel checks. ``run(*operands, **attributes)`` does an op that is made of
    others, by binding them: one that has no ``lower``, or whose tensors are too large for its own kernels.
    ``parts(shape, **attributes)``: for an op that gives several views of its operand, the paths of view ops to them.
    ``host``: it has no kernels; ``reference`` computes it on the host, from the operands' values, so that it cannot be
    traced.
    ``dense``: operands must lie in row-major order from the beginning of their storage, and are copied where they
    do not. ``attributes``: names and types of the attributes, where the annotations of ``infer`` or ``view`` do not say
    them (``attribute_types`` reads both); several where a call has one set of them or another.
    """

    name: str
    infer: Infer
    reference: Callable[..., Any]
    rules: Rules = NONE
    lower: Lower | None = None
    run: Callable[..., tuple[Any, ...]] | None = None
    view: View | None = None
    parts: Callable[..., Sequence[Any]] | None = None
    gradient: Callable[..., Sequence[Any]] | None = None
    joint_gradient: Callable[[TensorType, Sequence[tuple[dict[str, Any], Any]]], Any] | None = None
    saves: tuple[int, ...] | Callable[[tuple[bool, ...]], tuple[int, ...]] = ()
    saves_output: bool = False
    constants: tuple[int, ...] = ()
    elementwise: bool = False
    overwrites: tuple[int, ...] = ()
    host: bool = False
    dense: bool = False
    random: bool = False
    reports: str = ""
    attributes: tuple[Mapping[str, Any], ...] = ()
    doc: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    plain: bool = field(init=False, default=False)
    """Whether it is done by its kernels, on operands as they lie."""
    fused: bool = field(init=False, default=False)
    """Whether it stands for several ops, so that eager mode has one call; where more is done they are bound instead."""

    def __post_init__(self) -> None:
        composed = self.run is not None and self.lower is None
        special = self.dense or self.host or self.name == "transfer"
        plain = self.view is None and not composed and not special
        object.__setattr__(self, "plain", plain)
        whole = self.lower is not None or self.parts is not None
        object.__setattr__(self, "fused", self.run is not None and whole)

    def saved(self, needs: tuple[bool, ...]) -> tuple[int, ...]:
        """The operands that the gradient reads when those in ``needs`` are wanted."""
        return self.saves(needs) if callable(self.saves) else self.saves

    def __repr__(self) -> str:
        return f"<op {self.name}>"
