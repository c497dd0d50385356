"""``OpSpec``: the declaration of an op, and the data that its functions take."""

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
    """The shape and dtype of a tensor, or of a Python scalar operand (``scalar``, of shape ``()``)."""

    shape: tuple[int, ...]
    dtype: DType
    scalar: bool = False

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


@runtime_checkable
class Value(Protocol):
    """An operand or output of an op: a tensor, an array on a device, a traced or an abstract value."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""

    @property
    def dtype(self) -> DType:
        """Element type."""


class Gradient(Protocol):
    """The context of a gradient rule: the call of the op that it differentiates."""

    types: tuple[TensorType, ...]
    """Types of the operands."""
    output_types: tuple[TensorType, ...]
    needs: tuple[bool, ...]
    """For each operand, whether its gradient is wanted."""
    attributes: dict[str, Any]

    def input(self, index: int) -> Any:
        """Return operand ``index``, which the op declares in ``saves``; a Python scalar as it was given."""

    def output(self, index: int = 0) -> Any:
        """Return output ``index``; the op declares ``saves_output``."""


class KernelRequest(NamedTuple):
    """The argument of ``OpSpec.lower``: operands and outputs with their strides, attributes, and the target profile."""

    operands: Sequence[Operand]
    outputs: Sequence[Operand]
    attributes: dict[str, Any]
    profile: TargetProfile


Infer = Callable[..., "tuple[TensorType, ...]"]
Lower = Callable[["KernelRequest"], KernelProgram]
View = Callable[..., "Geometry | None"]


@dataclass(frozen=True, eq=False)
class OpSpec:
    """The declaration of an op.

    Attributes:
        infer: ``infer(*types, **attributes)`` gives the types of the outputs and raises on mistakes.
        reference: ``reference(*arrays, **attributes)`` computes the outputs in NumPy.
        rules: The rules by which transforms treat the op.
        lower: ``lower(request)`` gives the kernels.
        view: Of a view op, ``view(geometry, **attributes)`` gives the geometry; ``None`` where it takes a copy first.
        run: ``run(*operands, **attributes)`` carries out the op by binding other ops: always where there is no
            ``lower``, else where the op is fused and not on the default stack, or its tensors are too large.
        parts: Of an op that gives several views, ``parts(shape, **attributes)`` gives the paths of view ops to them.
        gradient: ``gradient(context, *grads)`` gives a gradient or ``None`` for each operand. It may read the operands
            in ``saves`` and, with ``saves_output``, the outputs.
        joint_gradient: ``joint_gradient(operand_type, calls)`` gives the gradient of an operand for all calls of the op
            on it, where this costs less than the sum of their gradients. A call is its attributes and the gradient of
            its output.
        saves: The operands that the gradient reads; or a function to these, from which operands' gradients are wanted.
        saves_output: Whether the gradient reads the outputs.
        elementwise: Whether a kernel may write an output over an operand.
        overwrites: Operands that may be the targets themselves, in order. ``lower`` then gets the target in the
            operand's place, and need not copy the elements that do not change.
        host: Whether ``reference`` computes the op on the host from the operands' values, so that it cannot be traced.
        dense: Whether operands must be contiguous from the beginning of their storage; others are copied first.
        reports: The operand whose indices the kernel checks.
        attributes: Names and types of the attributes, where the annotations of ``infer`` or ``view`` do not give them;
            several sets where calls differ in their attributes (``attribute_types``).
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
    """Whether the op is carried out by its kernels, on operands of any strides."""
    fused: bool = field(init=False, default=False)
    """Whether the op stands for several ops, to have a single call in eager mode; other interpreters get these ops."""

    def __post_init__(self) -> None:
        composed = self.run is not None and self.lower is None
        special = self.dense or self.host or self.name == "transfer"
        plain = self.view is None and not composed and not special
        object.__setattr__(self, "plain", plain)
        whole = self.lower is not None or self.parts is not None
        object.__setattr__(self, "fused", self.run is not None and whole)

    def saved(self, needs: tuple[bool, ...]) -> tuple[int, ...]:
        """Return the operands that the gradient reads when the gradients marked in ``needs`` are wanted."""
        return self.saves(needs) if callable(self.saves) else self.saves

    def __repr__(self) -> str:
        return f"<op {self.name}>"
