"""Control flow that stays in a traced graph: ``scan``, a loop over the first dimension of tensors."""

from weft.control.loop import scan

__all__ = ["scan"]
