"""Control flow that stays in a traced graph: ``scan``, ``cond`` and ``while_loop``."""

from weft.control.branch import cond
from weft.control.loop import scan
from weft.control.repeat import while_loop

__all__ = ["cond", "scan", "while_loop"]
