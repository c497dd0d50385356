"""Programs as graphs: ``trace`` records one, ``Traced`` runs it; ``eval_shape`` computes types only.

Passes, plans and replay build on these.
"""

from weft.compiler.trace import Traced, eval_shape, trace
from weft.control import scan

__all__ = ["Traced", "eval_shape", "scan", "trace"]
