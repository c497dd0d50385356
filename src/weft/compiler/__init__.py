"""Programs as graphs: ``trace`` records one, ``Traced`` runs it; ``eval_shape`` computes types only.

Passes, plans and replay build on these.
"""

from weft.compiler.trace import Traced, eval_shape, trace
from weft.compiler.training import CompiledTraining
from weft.compiler.training_forward import CompiledForward
from weft.compiler.training_results import Captures, StepResult
from weft.control import cond, scan, while_loop

__all__ = [
    "Captures",
    "CompiledForward",
    "CompiledTraining",
    "StepResult",
    "Traced",
    "cond",
    "eval_shape",
    "scan",
    "trace",
    "while_loop",
]
