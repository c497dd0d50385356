"""Compiled plans: compiled calls as objects that report their costs, and can be saved and loaded without Python source.

``compiled`` is the plan that users hold. ``saving`` and ``loading`` write a plan to a directory and read it back:
``graphs``, ``calls`` and ``values`` encode its parts as JSON, ``fields`` checks JSON and names errors, ``directory``
writes atomically. ``report`` and ``timing`` state the costs of a call; ``inspection`` reads a saved plan without a
device.
"""

from weft.compiler.plans.compiled import CompiledPlan
from weft.compiler.plans.inspection import SavedPlan, read_plan
from weft.compiler.plans.loading import load_plan
from weft.compiler.plans.report import DispatchRow, PlanReport
from weft.compiler.plans.timing import PlanProfile

__all__ = ["CompiledPlan", "DispatchRow", "PlanProfile", "PlanReport", "SavedPlan", "load_plan", "read_plan"]
