"""Programs as graphs: ``trace`` records one, ``Traced`` runs it; ``eval_shape`` computes types only.

Passes, plans and replay build on these; ``load_plan`` reads a compiled call that was saved. ``tune`` measures how a
program's kernels are best made.
"""

from weft.compiler.plans import CompiledPlan, PlanProfile, PlanReport, SavedPlan, load_plan, read_plan
from weft.compiler.trace import Traced, eval_shape, trace
from weft.compiler.training import CompiledTraining
from weft.compiler.training_forward import CompiledForward
from weft.compiler.training_results import Captures, StepResult
from weft.compiler.tuning import Tuning, tune
from weft.control import cond, scan, while_loop

__all__ = [
    "Captures",
    "CompiledForward",
    "CompiledPlan",
    "CompiledTraining",
    "PlanProfile",
    "PlanReport",
    "SavedPlan",
    "StepResult",
    "Traced",
    "Tuning",
    "cond",
    "eval_shape",
    "load_plan",
    "read_plan",
    "scan",
    "trace",
    "tune",
    "while_loop",
]
