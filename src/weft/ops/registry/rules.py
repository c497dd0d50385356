"""``Rules``: the rules by which transforms treat an op, each stated by name at the op's declaration.

The package that owns a transform implements its rules: ``func`` batching and tangents, ``tensors`` splitting, ``graph``
the partition, ``amp`` the precisions. Most ops belong to a family whose rules are a constant of this module.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Partition = Literal["", "cheap", "fold"]
Precision = Literal["", "lower", "float32"]


@dataclass(frozen=True)
class Rules:
    """The rules of an op by name; an empty name means that there is no rule.

    ``batching``: how ``vmap`` carries out the op on all samples at once.
    ``unbatched``: the advice in the error of ``vmap`` for an op that it cannot batch.
    ``splitting``: how an op on tensors above the binding limit is split into smaller ops.
    ``tangent``: how forward-mode differentiation carries out an op that has a gradient.
    ``partition``: whether the split of forward and backward pass may recompute the op (``"cheap"``), or the op's kernel
    can compute its operand's elements while it loads them (``"fold"``).
    ``precision``: the type in which autocast computes the op.
    """

    batching: str = ""
    splitting: str = ""
    tangent: str = "transposed"
    partition: Partition = ""
    precision: Precision = ""
    unbatched: str = ""

    def but(self, **changes: Any) -> Rules:
        """Return these rules with some of them replaced."""
        return replace(self, **changes)


NONE = Rules()
POINTWISE = Rules("pointwise", "broadcast", "pointwise", "cheap")
VIEW = Rules("view", tangent="linear", partition="cheap")
CREATION = Rules(
    partition="cheap",
    unbatched="pass numbers that are one for all samples",
)
"""Ops that create a tensor from numbers."""
COPYING = Rules("leading", "broadcast", "linear", "cheap")
"""Ops that copy each element, or convert it to another type."""
REDUCTION = Rules("dims", "reduction", partition="fold")
"""Ops that reduce the dimensions of their attribute ``dims`` or ``dim``."""
ROWS = Rules("rows", "rows")
"""Ops whose rows, along their attribute ``dim`` or ``dims``, are independent of each other."""
EXAMPLES = Rules("examples", "examples")
"""Ops whose examples, along dimension 0 of all operands and outputs, are independent of each other."""
UPDATE = Rules("update", "update")
"""Optimizer steps on several tensors at once."""
DRAW = Rules("draw", "draw")
"""Ops that draw random numbers in the order of their elements."""
MOVE = Rules("dims", tangent="linear", partition="cheap")
"""Ops that move elements along dimensions that an attribute names."""
UNFUSED = NONE
"""Fused ops of eager mode. Other interpreters are given the ops that a fused op stands for, and need no rules."""
