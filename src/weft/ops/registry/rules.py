"""``Rules``: how the transforms above treat an op. Each is stated at the op's declaration, by a rule's name.

The floor that owns a transform has the rules themselves: ``func`` those of batching and tangents, ``tensors`` those of
splitting, ``graph`` the partition, ``amp`` the precisions. Most ops are of a family whose rules are constants here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Partition = Literal["", "cheap", "fold"]
Precision = Literal["", "lower", "float32"]


@dataclass(frozen=True)
class Rules:
    """The rules of one op by name; an empty name is no rule.

    ``batching``: how ``vmap`` does the op on all samples at once.
    ``unbatched``: what to do instead, where ``vmap`` cannot.
    ``splitting``: how the op is cut into pieces whose tensors are no larger than a binding.
    ``tangent``: how forward differentiation does it, of ops with a gradient.
    ``partition``: whether a split of forward and backward pass may compute the op a second time (``"cheap"``), or its
    kernel can compute its operand's elements while it reads them (``"fold"``).
    ``precision``: the type that autocast has it done in.
    """

    batching: str = ""
    splitting: str = ""
    tangent: str = "transposed"
    partition: Partition = ""
    precision: Precision = ""
    unbatched: str = ""

    def but(self, **changes: Any) -> Rules:
        """These rules, with some of them replaced."""
        return replace(self, **changes)


NONE = Rules()
POINTWISE = Rules("pointwise", "broadcast", "pointwise", "cheap")
VIEW = Rules("view", tangent="linear", partition="cheap")
CREATION = Rules(
    partition="cheap",
    unbatched="pass numbers that are one for all samples",
)
"""Ops that make elements from numbers."""
COPYING = Rules("leading", "broadcast", "linear", "cheap")
"""Ops that give each element as it is, or in another type."""
REDUCTION = Rules("dims", "reduction", partition="fold")
"""Ops that fold the dimensions of their attribute ``dims``, or ``dim``, away or to 1 (``keepdim``)."""
ROWS = Rules("rows", "rows")
"""Ops whose rows, along their attribute ``dim`` or ``dims``, do not depend on each other."""
EXAMPLES = Rules("examples", "examples")
"""Ops whose examples, along dimension 0 of all operands and outputs, do not depend on each other."""
UPDATE = Rules("update", "update")
"""Steps of optimizers on several tensors at once."""
DRAW = Rules("draw", "draw")
"""Ops that draw random numbers in the order of their elements."""
MOVE = Rules("dims", tangent="linear", partition="cheap")
"""Ops that put elements in other places, along dimensions that an attribute names."""
UNFUSED = NONE
"""Ops that stand for several, which other interpreters than the eager one are given instead."""
