"""The compiler: ``jit``, ``compile`` and compiled training trace a function once and replay its plan.

``trace`` records a function as a graph, ``Traced`` interprets the graph, and ``eval_shape`` computes result types only.
``load_plan`` reads a compiled call that was saved. ``tune`` measures which kernel forms are fastest on a device.
"""

from weft.compiler.marks import (
    allow_in_graph,
    assume_constant_result,
    cudagraph_mark_step_begin,
    disable,
    is_compiling,
    reset,
)
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
    "allow_in_graph",
    "assume_constant_result",
    "cond",
    "cudagraph_mark_step_begin",
    "disable",
    "eval_shape",
    "is_compiling",
    "load_plan",
    "read_plan",
    "reset",
    "scan",
    "trace",
    "tune",
    "while_loop",
]
